package zerobus

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
)

func TestEndpoints(t *testing.T) {
	for _, test := range []struct{ in, url, workspace string }{
		{"https://123.zerobus.us-east-1.cloud.databricks.com", "https://123.zerobus.us-east-1.cloud.databricks.com:443", "123"},
		{" https://123.zerobus.eu.x.com/ \n", "https://123.zerobus.eu.x.com:443", "123"},
		{"123.zerobus.eu.x.com", "https://123.zerobus.eu.x.com:443", "123"},
		{"host:8443", "https://host:8443", "host:8443"},
		{"http://127.0.0.1:19000", "http://127.0.0.1:19000", "127"},
		{"http://localhost", "http://localhost:80", "localhost"},
		{"https://localhost:19443", "https://localhost:19443", "localhost:19443"},
		{"https://[::1]:7", "https://[::1]:7", "[::1]:7"},
		{"dns:///a.b:1", "https://a.b:1", "a"},
		{"passthrough:///a.b", "https://a.b:443", "a"},
	} {
		ep, err := parseEndpoint(test.in)
		if err != nil || ep.url != test.url || ep.workspace != test.workspace {
			t.Errorf("%q: %+v, %v", test.in, ep, err)
		}
	}
	for _, in := range []string{
		"", " ", "https://", "http://", "://x", "ftp://host", "https://host/path", "https://host?q", "https://host#f", "https://u:hunter2@host",
		"https://:443", "https://host:", "https://host:0", "https://host:65536", "https://host:x", "https://a b", "dns:///", "passthrough:///:1",
		"http://[::1", "https://%zz",
	} {
		if ep, err := parseEndpoint(in); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q: %+v, %v", in, ep, err)
		}
	}
}

func TestTableNamesThatAreNotThreeParts(t *testing.T) {
	for _, name := range []string{"", "t", "s.t", "a.b.c.d", ".b.c", "a..c", "a.b.", "..", ".", "a..", "..c", ".b.", "a.b.\n", "a.b.ä"} {
		if err := checkTable(name); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"a.b.c", "a b.c.d"} {
		if err := checkTable(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestProxyVariables(t *testing.T) {
	env := func(vars map[string]string) func(string) string { return func(n string) string { return vars[n] } }
	for _, test := range []struct {
		vars map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"grpc_proxy": "http://p:1", "https_proxy": "http://q:2"}, "p:1"},
		{map[string]string{"HTTPS_PROXY": "q:2"}, "q:2"},
		{map[string]string{"http_proxy": "http://q"}, "q:80"},
		{map[string]string{"grpc_proxy": "p:1", "no_grpc_proxy": "127.0.0.1, example.com"}, ""},
		{map[string]string{"grpc_proxy": "p:1", "NO_PROXY": ".example.com"}, ""},
		{map[string]string{"grpc_proxy": "p:1", "no_proxy": "*"}, ""},
		{map[string]string{"grpc_proxy": "p:1", "no_proxy": "ample.com,notexample.com"}, "p:1"},
		{map[string]string{"grpc_proxy": "p:1", "no_grpc_proxy": "other", "no_proxy": "*"}, "p:1"},
	} {
		u, err := proxyFor("api.example.com:443", env(test.vars))
		got := ""
		if u != nil {
			got = u.Host
		}
		if err != nil || got != test.want {
			t.Errorf("%v: %q, %v", test.vars, got, err)
		}
	}
	if _, err := discreet(func(*http.Request) (*url.URL, error) { return nil, errors.New("http://u:hunter2@%zz") })(nil); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the token endpoint's proxy: %v", err)
	}
	if _, err := proxyFor("x:1", env(map[string]string{"grpc_proxy": "socks5://u:hunter2@p:1"})); err == nil {
		t.Error("a proxy that is none of ours was ignored")
	}
}

func TestFormats(t *testing.T) {
	schema := []byte("\x0a\x04Test")
	for _, test := range []struct {
		f    backend.Format
		want recordType
	}{
		{backend.Format{ContentType: "application/json", Schema: schema}, jsonRecords}, // a descriptor is of no use there
		{backend.Format{ContentType: "application/json; charset=utf-8"}, jsonRecords},
		{backend.Format{ContentType: "application/x-protobuf; proto=a.B", Schema: schema}, protoRecords},
		{backend.Format{ContentType: "application/x-protobuf", Schema: []byte{}}, protoRecords}, // an empty message is one
		{backend.Format{ContentType: "application/x-protobuf"}, 0},
		{backend.Format{ContentType: "application/json", ContentEncoding: "zstd"}, 0},
		{backend.Format{ContentType: "application/octet-stream"}, 0},
		{backend.Format{ContentType: "text/plain; charset=utf-8"}, 0},
		{backend.Format{}, 0},
		{backend.Format{ContentType: ";;"}, 0},
	} {
		got, err := recordTypeOf(test.f)
		if got != test.want || (test.want == 0) != errors.Is(err, backend.ErrRejected) {
			t.Errorf("%+v: %v, %v", test.f, got, err)
		}
	}
}

// For every value of expires_in, oauth2 can read the changed answer, and the rest of the answer is unchanged.
func FuzzLifetime(f *testing.F) {
	for _, s := range []string{`3600`, `"3600"`, `3599.5`, `1e3`, `-1`, `null`, `{}`, `"+5"`, `"007"`, `99999999999999999999`, `"\u0033"`} {
		f.Add([]byte(`{"access_token":"tok","expires_in":` + s + `}`))
	}
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var before map[string]any
		if json.Unmarshal(body, &before) != nil {
			if got := lifetime(body); !bytes.Equal(got, body) {
				t.Fatalf("%q became %q", body, got)
			}
			return
		}
		var after map[string]any
		if err := json.Unmarshal(lifetime(body), &after); err != nil {
			t.Fatal(err)
		}
		if seconds, ok := after["expires_in"]; ok {
			if n, is := seconds.(float64); !is || n != math.Trunc(n) || n > math.MaxInt32 {
				t.Fatalf("%q leaves %v", body, seconds)
			}
		}
		delete(before, "expires_in")
		delete(after, "expires_in")
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%v became %v", before, after)
		}
	})
}

func TestNewWithoutAnEndpointAsksForOne(t *testing.T) {
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "give the Endpoint") {
		t.Errorf("got %v", err)
	}
}

func TestTheEnvironmentNamesWhatIsMissing(t *testing.T) {
	t.Setenv("ZEROBUS_ENDPOINT", "https://123.zerobus.eu.x.com")
	t.Setenv("ZEROBUS_WORKSPACE_URL", "https://x.com")
	t.Setenv("ZEROBUS_CLIENT_ID", "")
	t.Setenv("ZEROBUS_CLIENT_SECRET", "hunter2")
	if _, err := Environment(); err == nil || !strings.Contains(err.Error(), "ZEROBUS_CLIENT_ID") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	t.Setenv("ZEROBUS_CLIENT_ID", "me")
	want := Config{Endpoint: "https://123.zerobus.eu.x.com", UnityCatalog: "https://x.com", ClientID: "me", ClientSecret: "hunter2"}
	if c, err := Environment(); err != nil || c != want {
		t.Errorf("got %v, %v", c, err)
	}
}
