package durablestreams_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend"
)

// A response that neither moves on nor reaches the tail would be asked for again without a pause for ever, and what it holds
// be taken for something new.
func TestResponseThatLeadsNowhere(t *testing.T) {
	for _, test := range []struct {
		from backend.Offset
		body string
	}{
		{"5/0", "[]"},
		{"5/2", "[]"},
		{"5/2", "[1,2]"}, // the two to be passed over, and no third
		{"5/2", "[1]"},
		{backend.Latest, "[]"},
	} {
		requests := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			requests++
			answer := reply(r, "application/json", test.body, false)
			answer.Header.Del("Stream-Up-To-Date")
			return answer, nil
		})
		r, err := s.OpenReader(t.Context(), test.from)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			var b backend.Batch
			if b, err = r.Read(t.Context()); err != nil {
				break
			}
			if len(b.Records) > 0 {
				t.Errorf("%s with %s: read %s", test.from, test.body, b.Records[0].Value)
			}
		}
		if !errors.Is(err, backend.ErrTransient) || !isProtocolError(err) || requests != 1 {
			t.Errorf("%s with %s: %v after %d requests", test.from, test.body, err, requests)
		}
		_ = r.Close()
	}
}
