package s2

import "testing"

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{ // of stream a/b in basin my-basin
		"a.example":                  "https://a.example/v1/streams/a%2Fb",
		"http://a.example:81":        "http://a.example:81/v1/streams/a%2Fb",
		"localhost:8080":             "http://localhost:8080/v1/streams/a%2Fb",
		"127.0.0.1":                  "http://127.0.0.1/v1/streams/a%2Fb",
		"[::1]:80":                   "http://[::1]:80/v1/streams/a%2Fb",
		"https://[2001:db8::1]":      "https://[2001:db8::1]/v1/streams/a%2Fb",
		"https://a.example/":         "https://a.example/streams/a%2Fb",
		"https://a.example/s2/v1/":   "https://a.example/s2/v1/streams/a%2Fb",
		"https://{basin}.b.s2.dev":   "https://my-basin.b.s2.dev/v1/streams/a%2Fb",
		"a.example/of/{basin}":       "https://a.example/of/my-basin/streams/a%2Fb",
		"https://localhost":          "https://localhost/v1/streams/a%2Fb",
		"https://{basin}.local:8443": "https://my-basin.local:8443/v1/streams/a%2Fb",
	} {
		e, err := parseEndpoint(in)
		if got := e.at("my-basin", "streams", "a/b"); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", " a.example", "a b", "ftp://a.example", "https://", "https://user:pass@a.example", "https://a.example?x=1", "https://a.example/#x", "http://[::1", "\n", "h:99999", "https://h:0", "https://h:65536"} {
		if e, err := parseEndpoint(in); err == nil {
			t.Errorf("%q: %+v, want an error", in, e)
		}
	}
}
