package zerobus_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// website is a server without gRPC and without tokens.
func website(t *testing.T, status int, start func(*httptest.Server)) string {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
	}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(web)
	t.Cleanup(web.Close)
	return web.URL
}

func startHTTP2(web *httptest.Server) { web.EnableHTTP2 = true; web.StartTLS() }

// alerting is a server that answers each connection with an alert of TLS, as servers with TLS answer a plain request.
func alerting(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // the request
			_, _ = conn.Write([]byte{0x15, 3, 1, 0, 2, 2, 70})
			_ = conn.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func withScheme(scheme, address string) string {
	_, host, _ := strings.Cut(address, "://")
	return scheme + "://" + host
}

// A wrong setting stays wrong. The error is final and says how to mend the setting.
func TestAWrongSettingIsFinalAndSaysWhatToDo(t *testing.T) {
	plain, secured := serve(t), serve(t, zerobustest.TLS())
	here := config(plain)
	trusting := zerobus.TLS(&tls.Config{RootCAs: secured.CertPool()})
	anything := zerobus.TLS(&tls.Config{InsecureSkipVerify: true})
	fixed := zerobus.Headers(zerobus.HeadersFunc(func(context.Context, string) (map[string]string, error) { return nil, nil }))
	for name, test := range map[string]struct {
		endpoint, catalog string
		opts              []zerobus.Option
		want              error
		hint              string
	}{
		"service of an unknown authority": {secured.Endpoint, plain.UnityCatalogURL, nil, backend.ErrRejected, "option TLS"},
		"service of another name": {secured.Endpoint, plain.UnityCatalogURL,
			[]zerobus.Option{zerobus.TLS(&tls.Config{RootCAs: secured.CertPool(), ServerName: "other.example.com"})}, backend.ErrRejected, "option TLS"},
		"tokens of an unknown authority":  {plain.Endpoint, secured.UnityCatalogURL, nil, backend.ErrRejected, "option TLS"},
		"TLS to a service without it":     {withScheme("https", plain.Endpoint), plain.UnityCatalogURL, nil, backend.ErrRejected, "check the port of Endpoint"},
		"TLS to tokens without it":        {plain.Endpoint, withScheme("https", plain.UnityCatalogURL), nil, backend.ErrRejected, "check the port of UnityCatalog"},
		"plaintext to a service with TLS": {alerting(t), plain.UnityCatalogURL, nil, backend.ErrRejected, "write Endpoint with https"},
		"plaintext to tokens with TLS":    {plain.Endpoint, alerting(t), nil, backend.ErrRejected, "write UnityCatalog with https"},
		"swapped":                         {plain.UnityCatalogURL, plain.Endpoint, nil, backend.ErrRejected, "UnityCatalog the URL of the workspace"},
		"swapped, with TLS":               {secured.UnityCatalogURL, secured.Endpoint, []zerobus.Option{trusting}, backend.ErrUnauthorized, "UnityCatalog the URL of the workspace"},
		"swapped, by their names":         {"https://a.example.com", "https://1.zerobus.eu.example.com", nil, backend.ErrRejected, "swapped"},
		"the workspace twice":             {plain.UnityCatalogURL, plain.UnityCatalogURL, nil, backend.ErrRejected, "is Endpoint that of Zerobus"},
		"the workspace twice, with TLS":   {secured.UnityCatalogURL, secured.UnityCatalogURL, []zerobus.Option{trusting}, backend.ErrRejected, "is Endpoint that of Zerobus"},
		"a website of HTTP/2":             {website(t, 405, startHTTP2), plain.UnityCatalogURL, []zerobus.Option{anything}, backend.ErrRejected, "is Endpoint that of Zerobus"},
		"a website that lacks the path":   {website(t, 404, startHTTP2), plain.UnityCatalogURL, []zerobus.Option{anything}, backend.ErrUnsupported, "is Endpoint that of Zerobus"},
		"a website for tokens":            {plain.Endpoint, website(t, 404, (*httptest.Server).Start), nil, backend.ErrUnauthorized, "UnityCatalog the URL of the workspace"},
		"a website that is always there":  {plain.Endpoint, website(t, 200, (*httptest.Server).Start), nil, backend.ErrUnauthorized, "UnityCatalog the URL of the workspace"},
		"no scheme of the workspace":      {here.Endpoint, strings.TrimPrefix(here.UnityCatalog, "http://"), nil, backend.ErrRejected, "https://host"},
		"a port that is none":             {"https://127.0.0.1:99999", here.UnityCatalog, nil, backend.ErrRejected, "1 to 65535"},
		"a port of a target":              {"dns:///127.0.0.1:99999", here.UnityCatalog, []zerobus.Option{fixed}, backend.ErrRejected, "1 to 65535"},
		"a port of the workspace":         {here.Endpoint, "https://127.0.0.1:0", nil, backend.ErrRejected, "1 to 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			c := zerobus.Config{Endpoint: test.endpoint, UnityCatalog: test.catalog, ClientID: "id", ClientSecret: secret}
			err := openWith(t, c, test.opts...)
			if wantIs(t, err, test.want); err == nil || !strings.Contains(err.Error(), test.hint) {
				t.Errorf("%v\ndoes not say %q", err, test.hint)
			}
		})
	}
}
