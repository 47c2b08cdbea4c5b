package durablestreams_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// losing makes a stream whose server does what the first POST says whose header name has a value, and does not answer it.
func losing(t *testing.T, contentType, name string, value string) (*durablestreams.Stream, *atomic.Int64) {
	t.Helper()
	posts := new(atomic.Int64)
	return typed(t, contentType, func(_ http.ResponseWriter, r *http.Request, h http.Handler) bool {
		if r.Method != http.MethodPost || value != "" && r.Header.Get(name) != value || posts.Add(1) > 1 {
			return false
		}
		h.ServeHTTP(discarded{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}), posts
}

// Final data and the end are one step: one request, of which no reader sees a part, and which may be lost and repeated.
func TestSealWithFinalData(t *testing.T) {
	for contentType, body := range map[string]string{"application/json": `["x",["y"]]`, "text/plain": "the end\n", "image/png": "\x89"} {
		t.Run(contentType, func(t *testing.T) {
			s, posts := losing(t, contentType, "Stream-Closed", "true")
			info, err := s.SealWith(t.Context(), contentType, []byte(body))
			if err != nil || posts.Load() != 2 || info.Next == "" {
				t.Fatalf("%+v, %v, after %d requests", info, err, posts.Load())
			}
			recs := all(t, s.Raw(), backend.Earliest)
			want := strings.ReplaceAll(strings.Trim(body, "[]"), ",[", "")
			if got := strings.ReplaceAll(joined(recs), `["y"]`, `"y"`); got != want {
				t.Errorf("stored: %q, want %q", got, want)
			}
			if head, err := s.Head(t.Context()); err != nil || !head.Closed {
				t.Errorf("%+v, %v", head, err)
			}
			// Another's last words come too late, while a bare close has nothing left to do.
			if _, err := s.SealWith(t.Context(), contentType, []byte(body)); !errors.Is(err, backend.ErrStreamClosed) {
				t.Errorf("closed with data again: %v", err)
			}
			if err := s.Seal(t.Context()); err != nil {
				t.Errorf("closed again: %v", err)
			}
		})
	}
}

// With an identity of the caller's the same close may come again from another process, and changes nothing.
func TestSealWithIsRepeatedUnderItsIdentity(t *testing.T) {
	s := typed(t, "application/json", nil)
	if _, err := s.Append(t.Context(), "application/json", []byte("1"), durablestreams.Identity("p", 3, 0)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		info, err := s.SealWith(t.Context(), "application/json", []byte(`2`), durablestreams.Identity("p", 3, 1))
		if err != nil || info.Duplicate != (i > 0) {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	for name, identity := range map[string]durablestreams.AppendOption{
		"another sequence": durablestreams.Identity("p", 3, 2), "another producer": durablestreams.Identity("q", 3, 1),
	} {
		if _, err := s.SealWith(t.Context(), "application/json", []byte(`2`), identity); !errors.Is(err, backend.ErrStreamClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantStored(t, s, "1 2")
}

// The identity of an append that did not close has the server take the close for a resend of that.
func TestSealWithTheIdentityOfAnAppendIsNoSeal(t *testing.T) {
	var quiet atomic.Bool // the server does not say of a resend that the stream is closed
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) bool {
		if !quiet.Load() || r.Method != http.MethodPost {
			return false
		}
		answer := discarded{http.Header{}}
		server.ServeHTTP(answer, r)
		w.Header().Set("Producer-Seq", answer.header.Get("Producer-Seq"))
		w.WriteHeader(http.StatusNoContent)
		return true
	})
	if _, err := s.Append(t.Context(), "application/json", []byte("1"), durablestreams.Identity("p", 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealWith(t.Context(), "application/json", []byte("2"), durablestreams.Identity("p", 0, 0)); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("with the identity of an append: %v", err)
	}
	for i := range 2 {
		if info, err := s.SealWith(t.Context(), "application/json", []byte("2"), durablestreams.Identity("p", 0, 1)); err != nil || !info.Closed {
			t.Errorf("close %d: %+v, %v", i, info, err)
		}
		quiet.Store(true)
	}
	wantStored(t, s, "1 2")
}

func TestSealRecords(t *testing.T) {
	for _, f := range []backend.Format{{ContentType: "application/json"}, {ContentType: "image/png"}, {}} {
		contentType := f.ContentType
		if contentType == "" {
			contentType = "application/octet-stream"
		}
		s := typed(t, contentType, nil)
		session := open(t, s.NewAppender(f))
		send(t, session, 0)
		recv(t, session, 0)
		bad := []backend.Record{{Value: []byte("1")}, {Value: []byte("not json"), Headers: backend.Headers{{Name: "n"}}}}
		var culprit *backend.RecordError
		if _, err := s.SealRecords(t.Context(), f, bad); contentType == "application/json" && (!errors.As(err, &culprit) || culprit.Index != 1) {
			t.Fatalf("records that no JSON stream can hold: %v", err)
		}
		if contentType != "application/json" {
			if got := stored(t, s); got != "0 1 not json" {
				t.Errorf("%s: %s", contentType, got)
			}
			continue
		}
		if _, err := s.SealRecords(t.Context(), f, nil); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("no records: %v", err)
		}
		if _, err := s.SealRecords(t.Context(), f, []backend.Record{{Value: []byte("[1]")}, {Value: []byte("2")}}); err != nil {
			t.Fatal(err)
		}
		wantStored(t, s, "0 [1] 2")
	}
}

// A server that takes the data and knows nothing of closing must not pass for one that closes.
func TestSealThatLeavesTheStreamOpenIsAnError(t *testing.T) {
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		r.Header.Del("Stream-Closed")
		return false
	})
	if _, err := s.SealWith(t.Context(), "application/json", []byte("1")); !isProtocolError(err) {
		t.Error(err)
	}
	wantStored(t, s, "1")
}

func TestAppendWithIdentityIsStoredOnce(t *testing.T) {
	s, posts := losing(t, "text/plain", "", "")
	identity := func(epoch, seq int64) durablestreams.AppendOption {
		return durablestreams.Identity("writer", epoch, seq)
	}
	post := func(epoch, seq int64) (durablestreams.Info, error) {
		// The sequence is the same for a second try, which is recognized before that counts.
		sequence := durablestreams.Sequence(fmt.Sprintf("%d.%d", epoch, seq))
		return s.Append(t.Context(), "text/plain", []byte("a\r\n"), identity(epoch, seq), sequence)
	}
	if _, err := post(1, 0); err != nil || posts.Load() != 2 {
		t.Fatalf("%v, after %d requests", err, posts.Load())
	}
	if info, err := post(1, 0); err != nil || !info.Duplicate {
		t.Errorf("repeated: %+v, %v", info, err)
	}
	var status *durablestreams.Error
	if _, err := post(1, 5); !errors.As(err, &status) || !errors.Is(err, backend.ErrConflict) || status.Expected != 1 || status.Received != 5 {
		t.Errorf("gap: %v, %+v", err, status)
	}
	if _, err := post(0, 0); !errors.As(err, &status) || !errors.Is(err, backend.ErrFenced) || status.Epoch != 1 {
		t.Errorf("stale: %v, %+v", err, status)
	}
	if info, err := post(2, 0); err != nil || info.Duplicate {
		t.Errorf("a later epoch: %+v, %v", info, err)
	}
	if got := joined(all(t, s.Raw(), backend.Earliest)); got != "a\r\na\r\n" {
		t.Errorf("stored: %q", got)
	}
}

func TestSequenceGoesUpByteByByte(t *testing.T) {
	s := typed(t, "text/plain", nil)
	for _, step := range []struct {
		seq  string
		want error
	}{{"09", nil}, {"10", nil}, {"10", durablestreams.ErrSequence}, {"2", nil}, {"11", durablestreams.ErrSequence}, {"B", nil}, {"a", nil}} {
		if _, err := s.Append(t.Context(), "text/plain", []byte("x"), durablestreams.Sequence(step.seq)); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.seq, err, step.want)
		}
	}
}

// What HTTP cannot carry, or the protocol has no meaning for, is refused here and is no failure of the network.
func TestBadArguments(t *testing.T) {
	s := typed(t, "text/plain", nil)
	appended := func(contentType, body string, opts ...durablestreams.AppendOption) error {
		_, err := s.Append(t.Context(), contentType, []byte(body), opts...)
		return err
	}
	created := func(contentType string, opts ...durablestreams.CreateOption) error {
		_, err := s.Create(t.Context(), contentType, opts...)
		return err
	}
	for name, err := range map[string]error{
		"nothing to append":      appended("text/plain", ""),
		"an id of two lines":     appended("text/plain", "x", durablestreams.Identity("a\nb", 0, 0)),
		"no id":                  appended("text/plain", "x", durablestreams.Identity("", 0, 0)),
		"a negative epoch":       appended("text/plain", "x", durablestreams.Identity("a", -1, 0)),
		"a sequence beyond 2^53": appended("text/plain", "x", durablestreams.Identity("a", 0, 1<<53)),
		"a type of two lines":    appended("text/\r\nplain", "x"),
		"a TTL and an expiry":    created("text/plain", durablestreams.TTL(time.Hour), durablestreams.ExpiresAt(time.Now())),
		"a negative TTL":         created("text/plain", durablestreams.TTL(-1)),
	} {
		if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%s: %v, want ErrRejected alone", name, err)
		}
	}
	if got := joined(all(t, s.Raw(), backend.Earliest)); got != "" {
		t.Errorf("stored: %q", got)
	}
}
