package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// canned answers every read with body, under the length given.
func canned(t *testing.T, contentType, body string, length int) *durablestreams.Stream {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Stream-Next-Offset", "7")
		w.Header().Set("Stream-Up-To-Date", "true")
		w.Header().Set("Stream-Closed", "TRUE")
		if length > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(length))
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(h.Close)
	c, err := durablestreams.New(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.Stream("s", durablestreams.MessageBytes(1<<10))
}

func TestBrokenResponses(t *testing.T) {
	long := `["` + string(make([]byte, 4<<10)) + `"]`
	for _, test := range []struct {
		name, contentType, body string
		length, records         int
		want                    []error
	}{
		{"whole, with TRUE for the end", "application/json; charset=utf-8", `[1, 2]`, 0, 2, []error{io.EOF}},
		{"the connection ends", "application/json", `[1,2,`, 100, 2, []error{backend.ErrTransient}},
		{"the array does not end", "application/json", `[1,2,3`, 0, 2, []error{backend.ErrTransient, errProtocol}},
		{"no array", "application/json", `{"a":1}`, 0, 0, []error{backend.ErrTransient}},
		{"several arrays", "application/json", `[1][2]`, 0, 1, []error{backend.ErrTransient}},
		{"a message that is too large", "application/json", `[1,` + long[1:], 0, 1, []error{backend.ErrTooLarge}},
		{"half a frame", "application/octet-stream", "\x20\x00", 0, 0, []error{errProtocol}},
		{"no frame", "application/octet-stream", "hello, world, this is text", 0, 0, []error{backend.ErrTooLarge, errProtocol}},
		{"text", "text/plain", "hello", 0, 0, []error{backend.ErrUnsupported}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := canned(t, test.contentType, test.body, test.length).OpenReader(t.Context(), backend.Earliest)
			records := 0
			if err == nil {
				defer r.Close()
			}
			for err == nil {
				var b backend.Batch
				b, err = r.Read(t.Context())
				records += len(b.Records)
			}
			found := false
			for _, w := range test.want {
				found = found || is(err, w)
			}
			if !found || records != test.records {
				t.Errorf("%d records and %v, want %d and %v", records, err, test.records, test.want)
			}
		})
	}
}

func TestFailingCredentialsAreUnauthorized(t *testing.T) {
	cause := errors.New("no token")
	c, err := durablestreams.New("http://127.0.0.1:1", durablestreams.Header("Authorization", func(context.Context) (string, error) { return "", cause }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Stream("s").OpenReader(t.Context(), backend.Earliest)
	if !errors.Is(err, backend.ErrUnauthorized) || !errors.Is(err, cause) || errors.Is(err, backend.ErrTransient) {
		t.Error(err)
	}
}
