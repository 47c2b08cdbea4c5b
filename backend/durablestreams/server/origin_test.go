package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// plumbing is headers that the code of a page can read anyway, or never needs.
var plumbing = []string{
	"Cache-Control", "Content-Length", "Content-Type", "Date", "X-Content-Type-Options", "X-Accel-Buffering", "Cross-Origin-Resource-Policy",
}

func TestPagesOfOtherOriginsCanReadEveryHeaderOfTheProtocol(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		batch := func(epoch, seq string) []string {
			return []string{"Content-Type", "text/plain", "Producer-Id", "p", "Producer-Epoch", epoch, "Producer-Seq", seq}
		}
		seen := map[string]bool{}
		for _, c := range []struct {
			method, path string
			header       []string
			status       int
		}{
			{"PUT", "/s", []string{"Content-Type", "text/plain", "Stream-TTL", "3600"}, 201},
			{"POST", "/s", batch("1", "0"), 200},
			{"POST", "/s", batch("1", "7"), 409},
			{"POST", "/s", batch("0", "0"), 403},
			{"HEAD", "/s", nil, 200},
			{"GET", "/s?offset=-1", nil, 200},
			{"GET", "/s?offset=-1&live=long-poll", nil, 200},
			{"POST", "/s", []string{"Stream-Closed", "true"}, 204},
			{"PUT", "/b", []string{"Content-Type", "application/octet-stream", "Stream-Closed", "true"}, 201},
			{"GET", "/b?offset=-1&live=sse", nil, 200},
		} {
			var body []byte
			if len(c.header) > 2 && c.method == "POST" {
				body = []byte("x")
			}
			r := request(t, c.method, url+c.path, body, c.header...)
			drain(t, r, c.status)
			exposed := strings.Split(r.Header.Get("Access-Control-Expose-Headers"), ", ")
			for name := range r.Header {
				seen[name] = true
				same := func(e string) bool { return http.CanonicalHeaderKey(e) == name }
				if !strings.HasPrefix(name, "Access-Control-") && !slices.Contains(plumbing, name) && !slices.ContainsFunc(exposed, same) {
					t.Errorf("%s %s: a page cannot read %s", c.method, c.path, name)
				}
			}
		}
		for _, name := range []string{"Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Cursor", "Stream-Closed", "Producer-Expected-Seq", "Etag", "Stream-Sse-Data-Encoding"} {
			if !seen[name] {
				t.Errorf("no answer has %s", name)
			}
		}
	})
}
