package s2_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
)

// said collects what all that a stream can do comes to on a server that refuses it.
func said(t *testing.T, st *s2.Stream) (errs []error) {
	t.Helper()
	_, tail := st.CheckTail(t.Context())
	_, read := st.Read(t.Context(), s2.Range{From: backend.Earliest})
	_, app := st.Append(t.Context(), values("a"), s2.Condition{})
	r, err := st.OpenReader(t.Context(), backend.Earliest)
	if err == nil {
		_, err = r.Read(t.Context())
		_ = r.Close()
	}
	s, opened := st.NewAppender(backend.Format{}).Open(t.Context())
	if opened == nil {
		_, opened = s.Recv(t.Context())
		_ = s.Close()
	}
	return []error{tail, read, app, err, opened}
}

// echo is a server that repeats a header in every error, in all the forms that errors have.
func echo(header, before, after string) map[string]http.HandlerFunc {
	text := func(r *http.Request) string { return before + r.Header.Get(header) + after }
	return map[string]http.HandlerFunc{
		"message": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"code":"bad_header","message":%q}`, text(r))
		},
		"code": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"code":%q}`, text(r))
		},
		"page": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, text(r))
		},
		"terminal frame or event": func(w http.ResponseWriter, r *http.Request) {
			body := fmt.Sprintf(`{"code":"bad_header","message":%q}`, text(r))
			if r.Header.Get("Accept") == "text/event-stream" {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = fmt.Fprintf(w, "event: error\ndata: %s\n\n", body)
				return
			}
			_, _ = w.Write(frame(0x80, append([]byte{400 >> 8, 400 & 0xff}, body...)))
		},
	}
}

func TestTheEncryptionKeyIsInNoError(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	secret := base64.StdEncoding.EncodeToString(key)
	for what, h := range echo("S2-Encryption-Key", "what is ", "?") {
		for _, opt := range []s2.StreamOption{s2.InFlight(1), s2.SSE()} {
			for i, err := range said(t, fake(t, h, opt, s2.EncryptionKey(key))) {
				if err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("%s, call %d: %v", what, i, err)
				}
			}
		}
	}
}

// A text that is cut to its limit is not cut through a token, of which the first half would stay.
func TestNoPieceOfATokenIsInAnError(t *testing.T) {
	for what, h := range echo("Authorization", strings.Repeat("x", 1024-len("Bearer secret-t")), "") {
		for i, err := range said(t, fake(t, h)) {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s, call %d: %v", what, i, err)
			}
		}
	}
}

// A code has no end of its own either.
func TestACodeIsBounded(t *testing.T) {
	for what, h := range echo("Accept", strings.Repeat("x", 60000), "") {
		for i, err := range said(t, fake(t, h)) {
			if err == nil || len(err.Error()) > 4096 {
				t.Errorf("%s, call %d: %d bytes", what, i, len(fmt.Sprint(err)))
			}
		}
	}
}

// Servers that know no tokens are given any, such as "e". That it occurs in every text changes the meaning of none.
func TestAShortTokenChangesNoMeaning(t *testing.T) {
	c, err := s2.New(s2.Config{Token: "c", AccountEndpoint: nobody, BasinEndpoint: nobody})
	check(t, err)
	defer c.Close()
	_, err = c.Basin(basinName).Stream("s").Append(t.Context(), values("a"), s2.Condition{})
	if !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("a refused connection: %v, want ErrTransient alone", err)
	}

	answering := func(h http.HandlerFunc) *s2.Stream {
		return fakeClient(t, "e", h).Basin(basinName).Stream("s")
	}
	for i, err := range said(t, answering(func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "stream_not_found") })) {
		var refused *s2.Error
		if !errors.As(err, &refused) || !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("refused, call %d: %v, want an *Error with ErrNotFound", i, err)
		}
	}
	st := answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(frame(0x60, []byte{1})) })
	r, err := st.OpenReader(t.Context(), backend.Earliest)
	check(t, err)
	defer r.Close()
	if _, err = r.Read(t.Context()); err == nil || errors.Is(err, backend.ErrTransient) {
		t.Errorf("a malformed frame: %v, which is called transient", err)
	}
	s, err := st.NewAppender(backend.Format{}).Open(t.Context())
	check(t, err)
	defer s.Close()
	if _, err = s.Recv(t.Context()); err == nil || errors.Is(err, backend.ErrTransient) {
		t.Errorf("a malformed ack: %v, which is called transient", err)
	}
}

// The client asks for compressed answers, and so may be refused in one: what is in it counts all the same.
func TestARefusalMayBeCompressed(t *testing.T) {
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, `{"fencing_token_mismatch":"theirs"}`)
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = w.Write(b.Bytes())
	}, s2.Gzip())
	for i, err := range said(t, c.Basin(basinName).Stream("s")) {
		var refused *s2.Error
		if !errors.Is(err, backend.ErrFenced) || !errors.As(err, &refused) || refused.Token != "theirs" {
			t.Errorf("call %d: %v, want ErrFenced", i, err)
		}
	}
}

// What cannot be decompressed is still refused, with its status.
func TestARefusalThatCannotBeReadHasItsStatus(t *testing.T) {
	for how, body := range map[string][]byte{"gzip": []byte("no gzip"), "br": []byte("x"), "zstd": make([]byte, 100)} {
		c := fakeClient(t, "any-token", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", how)
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write(body)
		}, s2.Gzip())
		for i, err := range said(t, c.Basin(basinName).Stream("s")) {
			if want(t, err, backend.ErrNotFound); err == nil {
				t.Errorf("%s, call %d", how, i)
			}
		}
	}
}

// A token that is a word of the protocol, as a test's may be, must not change what the server says.
func TestATokenThatIsAWordLeavesCodesAndMessagesAlone(t *testing.T) {
	url := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":"stream_not_found","message":"no stream in not_found_basin"}`)
	})
	for _, token := range []string{"stream", "not_found", "stream_not_found"} {
		c, err := s2.New(s2.Config{Token: token, AccountEndpoint: url, BasinEndpoint: url}, patient(s2.Attempts(1))...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Basin(basinName).Stream("orders").CheckTail(t.Context())
		_ = c.Close()
		var refused *s2.Error
		if !errors.As(err, &refused) || refused.Code != "stream_not_found" || refused.Message != "no stream in not_found_basin" {
			t.Errorf("token %q: %v", token, err)
		}
	}
}
