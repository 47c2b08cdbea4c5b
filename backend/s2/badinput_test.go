package s2_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func frame(flags byte, payload []byte) []byte {
	n := len(payload) + 1
	return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), flags}, payload...)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// bomb is 12 MiB of zeros, compressed.
func bomb(t testing.TB, flags byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if flags == 0x20 {
		enc, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = enc
	}
	if _, err := w.Write(make([]byte, 12<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return frame(flags, out.Bytes())
}

// malformed are frames that no server may send.
func malformed(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"length 0":                     {0, 0, 0, 0},
		"over 2 MiB":                   {0x20, 0, 1, 0},
		"unknown codec":                frame(0x60, []byte{1}),
		"zstd bomb":                    bomb(t, 0x20),
		"gzip bomb":                    bomb(t, 0x40),
		"no zstd":                      frame(0x20, []byte("no zstd")),
		"terminal frame without":       frame(0x80, nil),
		"terminal frame of one byte":   frame(0x80, []byte{1}),
		"a message that is cut short":  frame(0, []byte{0x0a, 5}),
		"a message with a wrong field": frame(0, []byte{0x0b}),
	}
}

func TestMalformedFramesInAnAppendSession(t *testing.T) {
	for name, raw := range malformed(t) {
		srv, st := fresh(t, nil)
		srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Frame(raw)})
		wantProtocolError(t, name, st, appendBatches(t, st, 1))
	}
}

// appendBatches sends batches of two records each and returns the session's last words.
func appendBatches(t *testing.T, st *s2.Stream, n int) error {
	t.Helper()
	s, err := st.NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		if err := s.Send(t.Context(), uint64(i), values("a", "b")); err != nil {
			break // Recv says why
		}
	}
	for {
		if _, err := s.Recv(t.Context()); err != nil {
			return err
		}
	}
}

// wantProtocolError says that a batch may be stored, what was wrong, and where.
func wantProtocolError(t *testing.T, name string, st *s2.Stream, err error) {
	t.Helper()
	var pe *s2.ProtocolError
	if !errors.As(err, &pe) || !errors.Is(err, backend.ErrIndeterminate) || errors.Is(err, backend.ErrTransient) ||
		!strings.Contains(err.Error(), basinName+"/"+st.Name()) {
		t.Errorf("%s: %v, want a ProtocolError with ErrIndeterminate that names the stream", name, err)
	}
}

func TestMalformedFramesInAReadSession(t *testing.T) {
	for name, raw := range malformed(t) {
		srv, st := fresh(t, nil)
		put(t, st, "0")
		srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.Frame(raw)})
		r, err := st.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		var pe *s2.ProtocolError
		for range 2 { // and it stays
			if b, err := r.Read(t.Context()); !errors.As(err, &pe) || !strings.Contains(err.Error(), st.Name()) {
				t.Errorf("%s: %+v, %v, want a ProtocolError that names the stream", name, b, err)
			}
		}
		_ = r.Close()
	}
}

func TestAcksThatFitNoBatch(t *testing.T) {
	for name, ack := range map[string]string{
		"for more records":                "12 02 08 03",
		"for fewer records":               "12 02 08 01",
		"for none":                        "",
		"that end before they start":      "0a 02 08 05 12 02 08 03",
		"that overflow":                   "0a 0a 08 ff ff ff ff ff ff ff ff ff 01 12 02 08 01",
		"that go backwards (second ack)":  "0a 02 08 01 12 02 08 03",
		"that repeat the one before (2.)": "12 02 08 02",
	} {
		srv, st := fresh(t, nil)
		skip := 0
		if strings.Contains(name, "(") {
			skip = 1
		}
		in := srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Skip: skip, Do: s2test.Frame(frame(0, unhex(ack)))})
		wantProtocolError(t, name, st, appendBatches(t, st, 2))
		if in.Hits() != 1 {
			t.Errorf("%s: not sent", name)
		}
	}
	// Where nothing was sent, nothing can be stored.
	st := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(frame(0, unhex("12 02 08 01")))
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
	})
	err := appendBatches(t, st, 0)
	var pe *s2.ProtocolError
	if !errors.As(err, &pe) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("for no batch: %v, want a ProtocolError without ErrIndeterminate", err)
	}
}

func TestSequenceNumbersBeyondFloats(t *testing.T) {
	const big = 1<<53 + 1
	st := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"tail":{"seq_num":9007199254740993,"timestamp":1}}`)
	})
	if got, err := st.CheckTail(t.Context()); err != nil || got.SeqNum != big {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAStreamThatIsDeletedWhileItIsFollowed(t *testing.T) {
	for name, opts := range map[string][]s2.StreamOption{"frames": nil, "events": {s2.SSE()}} {
		srv := s2test.New(t, s2test.Basin(basinName, true))
		c := dial(t, srv)
		st := c.Basin(basinName).Stream(streamName(), opts...)
		put(t, st, "0")
		r, err := st.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		for caught := false; !caught; {
			got, err := r.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			caught = got.CaughtUp
		}
		s, err := st.NewAppender(backend.Format{}).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := manage(c).DeleteStream(t.Context(), st.Name()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(t.Context()); !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), st.Name()) {
			t.Errorf("%s: %v, want ErrNotFound that names the stream", name, err)
		}
		_ = r.Close()
		if err = s.Send(t.Context(), 0, values("1")); err == nil {
			_, err = s.Recv(t.Context())
		}
		if !errors.Is(err, backend.ErrNotFound) || errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), st.Name()) {
			t.Errorf("append: %v, want ErrNotFound that names the stream", err)
		}
		_ = s.Close()
	}
}

func TestATokenThatIsRevokedInASession(t *testing.T) {
	srv, st := fresh(t, nil)
	put(t, st, "0")
	revoked := s2test.Status(401, "authn")
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: revoked})
	err := appendBatches(t, st, 1)
	if !errors.Is(err, backend.ErrUnauthorized) || errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), st.Name()) {
		t.Errorf("append: %v, want ErrUnauthorized, nothing stored, and the stream's name", err)
	}
	for name, opt := range map[string]s2.StreamOption{"frames": s2.InFlight(1), "events": s2.SSE()} {
		st := dial(t, srv).Basin(basinName).Stream(st.Name(), opt)
		srv.Inject(s2test.Fault{Op: s2test.ReadSession | s2test.EventRead, Stage: s2test.Replying, Skip: 1, Do: revoked})
		r, err := st.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = r.Read(t.Context())
		}
		if !errors.Is(err, backend.ErrUnauthorized) || !strings.Contains(err.Error(), st.Name()) {
			t.Errorf("%s: %v, want ErrUnauthorized and the stream's name", name, err)
		}
		_ = r.Close()
	}
}

// A server that repeats what it was sent, as some proxies do, brings the token into no error and no log.
func TestTheTokenIsInNoErrorAndNoLog(t *testing.T) {
	const secret = "secret-token"
	text := func(r *http.Request) string {
		return fmt.Sprintf(`{"code":"authn","message":"what is %s?"}`, r.Header.Get("Authorization"))
	}
	var log bytes.Buffer
	checkAll := func(what string, errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s: logged %s", what, log.String())
		}
	}
	for what, h := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, text(r))
		},
		"page": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<html>"+r.Header.Get("Authorization"))
		},
		"terminal frame or event": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") == "text/event-stream" {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = fmt.Fprintf(w, "event: error\ndata: %s\n\n", text(r))
				return
			}
			_, _ = w.Write(frame(0x80, append([]byte{401 >> 8, 401 & 0xff}, text(r)...)))
		},
	} {
		for _, opt := range []s2.StreamOption{s2.InFlight(1), s2.SSE()} {
			st := fake(t, h, opt)
			_, tail := st.CheckTail(t.Context())
			_, read := st.Read(t.Context(), s2.Range{From: backend.Earliest})
			_, app := st.Append(t.Context(), values("a"), s2.Condition{})
			checkAll(what, tail, read, app)
			r, err := st.OpenReader(t.Context(), backend.Earliest)
			if err == nil {
				_, err = r.Read(t.Context())
				_ = r.Close()
			}
			checkAll(what, err)
			p, err := producer.New(t.Context(), st, codec.String(), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
			if err == nil {
				err = p.Send(t.Context(), "a")
				_ = p.Close()
			}
			checkAll(what, err)
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged, so nothing was tested")
	}
	c, err := s2.New(s2.Config{Token: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st := c.Basin(basinName).Stream("orders", s2.EncryptionKey([]byte(secret)))
	for _, v := range []any{c, st, st.NewAppender(backend.Format{})} {
		if s := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(s, secret) || strings.Contains(s, "c2VjcmV0LXRva2Vu") {
			t.Errorf("printed: %s", s)
		}
	}
	if _, err := s2.New(s2.Config{Token: "bad\n" + secret}); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a malformed token: %v", err)
	}
}
