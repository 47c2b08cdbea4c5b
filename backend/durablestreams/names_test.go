package durablestreams_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// Two names are two streams, or one of them is refused.
func TestNamesDoNotMeet(t *testing.T) {
	c, err := durablestreams.New("http://server/v1", durablestreams.HTTP(&http.Client{
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return reply(r, "", "", false), nil }),
	}))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, name := range []string{"a/b", "a//b", "a%2Fb", "a b", "a%20b", "a+b", "a/b/", "a///b"} {
		s := c.Stream(name)
		if s.Name() != name {
			t.Errorf("%q is called %q", name, s.Name())
		}
		if other, ok := seen[s.URL()]; ok {
			if _, err := s.Head(t.Context()); !errors.Is(err, backend.ErrRejected) {
				t.Errorf("%q and %q are one stream, %s: %v", name, other, s.URL(), err)
			}
			continue
		}
		seen[s.URL()] = name
	}
}
