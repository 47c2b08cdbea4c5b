package durablestreams_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
)

// FuzzReader: whatever a server answers, a reader comes to an end that says what it is, and what it returned before has places
// that can be asked for.
func FuzzReader(f *testing.F) {
	const place, end = "0000000000000000_0000000000000005", "0000000000000000_0000000000000009"
	last := "event: control\ndata: {\"streamNextOffset\":\"" + end + "\",\"streamClosed\":true}\n\n"
	for _, contentType := range []string{"application/json", "application/octet-stream", "text/plain", "", ";", "application/json; a=\"", "text/"} {
		f.Add(contentType, place, `[1,{"a":[2]},"]"]`, "event: data\ndata: [3]\n\n"+last, "", true)
		f.Add(contentType, place, "\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00v", "event: data\ndata: aGk=\n\n"+last, "base64", true)
		f.Add(contentType, "now", "[", "event: control\ndata: {}\n\n", "gzip", false)
	}
	f.Fuzz(func(t *testing.T, contentType, next, body, events, encoding string, raw bool) {
		asked := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			asked++
			answer := reply(r, contentType, body, false)
			answer.Header.Set("Stream-Next-Offset", next)
			answer.Header.Set("Headrace-Start-Offset", next)
			if r.URL.Query().Get("live") == "sse" {
				answer.Header.Set("Content-Type", "text/event-stream")
				answer.Header.Set("Stream-SSE-Data-Encoding", encoding)
				answer.Body = io.NopCloser(strings.NewReader(events))
			}
			if asked > 5 {
				answer.Header.Set("Stream-Closed", "true")
			}
			return answer, nil
		})
		var source backend.Source = s
		if raw {
			source = s.Raw()
		}
		r, err := source.OpenReader(t.Context(), backend.Earliest)
		if err == nil {
			defer r.Close()
		}
		for batches := 0; err == nil; batches++ {
			if batches > 100 {
				t.Fatal("the stream was closed, and the reader does not end")
			}
			var b backend.Batch
			b, err = r.Read(t.Context())
			for _, rec := range b.Records {
				if rec.Offset == "" || rec.Next == "" || rec.Offset == rec.Next {
					t.Fatalf("%q goes on at %q", rec.Offset, rec.Next)
				}
			}
			if len(b.Records) > 0 && b.Next != b.Records[len(b.Records)-1].Next {
				t.Fatalf("a batch ends at %q and goes on at %q", b.Records[len(b.Records)-1].Next, b.Next)
			}
		}
		known := false
		for _, kind := range []error{
			io.EOF, errProtocol, backend.ErrTransient, backend.ErrOutOfRange, backend.ErrUnsupported, backend.ErrTooLarge,
		} {
			known = known || is(err, kind)
		}
		if !known {
			t.Fatalf("%v is none of the errors that a reader has", err)
		}
	})
}
