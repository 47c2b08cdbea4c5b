package zerobus_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// A tunnelProxy makes tunnels for CONNECT and counts the tunnels. It speaks plain HTTP, and TLS goes through the tunnels.
type tunnelProxy struct {
	*httptest.Server
	host string

	mu      sync.Mutex
	asked   int
	tunnels []string // where to
	wants   string   // user:password; "" for anyone
	refuses int      // status
}

func newTunnelProxy(t *testing.T) *tunnelProxy {
	t.Helper()
	p := &tunnelProxy{}
	p.Server = httptest.NewServer(p)
	p.host = strings.TrimPrefix(p.URL, "http://")
	t.Cleanup(p.Close)
	for _, name := range []string{"grpc_proxy", "GRPC_PROXY", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY",
		"no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY"} {
		t.Setenv(name, "")
	}
	return p
}

func (p *tunnelProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked++
	wants, refuses := p.wants, p.refuses
	p.mu.Unlock()
	switch {
	case r.Method != http.MethodConnect:
		refuses = http.StatusMethodNotAllowed
	case wants != "" && r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(wants)):
		refuses = http.StatusProxyAuthRequired
	}
	if refuses != 0 {
		http.Error(w, "<html>sorry", refuses)
		return
	}
	there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, "no way", http.StatusBadGateway)
		return
	}
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = there.Close()
		return
	}
	p.mu.Lock()
	p.tunnels = append(p.tunnels, r.Host)
	p.mu.Unlock()
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, buffered)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
}

func (p *tunnelProxy) counts() (asked int, tunnels []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.tunnels
}

// secure returns a table of a server with TLS.
func secure(srv *zerobustest.Server, opts ...zerobus.Option) *zerobus.Sink {
	return clientOf(config(srv), append(opts, zerobus.TLS(&tls.Config{RootCAs: srv.CertPool(), MinVersion: tls.VersionTLS12}))...).Table(table)
}

// Each stream has a tunnel of its own. TLS is with the service. Hosts in NO_PROXY go past the proxy.
func TestProxyAndNoProxy(t *testing.T) {
	for name, test := range map[string]struct {
		vars map[string]string
		want int
	}{
		"grpc_proxy":                       {map[string]string{"grpc_proxy": "PROXY"}, 3},
		"HTTPS_PROXY":                      {map[string]string{"HTTPS_PROXY": "PROXY"}, 3},
		"grpc_proxy before HTTPS_PROXY":    {map[string]string{"grpc_proxy": "PROXY", "HTTPS_PROXY": "http://127.0.0.1:1"}, 3},
		"no_grpc_proxy":                    {map[string]string{"grpc_proxy": "PROXY", "no_grpc_proxy": "127.0.0.1, localhost"}, 0},
		"NO_PROXY":                         {map[string]string{"HTTPS_PROXY": "PROXY", "NO_PROXY": "127.0.0.1"}, 0},
		"NO_PROXY of another":              {map[string]string{"HTTPS_PROXY": "PROXY", "NO_PROXY": "example.com"}, 3},
		"no_grpc_proxy instead of *":       {map[string]string{"HTTPS_PROXY": "PROXY", "no_grpc_proxy": "example.com", "NO_PROXY": "*"}, 3},
		"nothing that is a proxy variable": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, zerobustest.TLS())
			proxy := newTunnelProxy(t)
			for k, v := range test.vars {
				t.Setenv(k, strings.ReplaceAll(v, "PROXY", proxy.URL))
			}
			sink := secure(srv)
			for range 3 {
				if acks := sendAll(t, open(t, sink), 1, 2); len(acks) != 2 {
					t.Errorf("%v", acks)
				}
			}
			asked, tunnels := proxy.counts()
			if asked != test.want || len(tunnels) != test.want {
				t.Errorf("%d tunnels, want %d", len(tunnels), test.want)
			}
			for _, to := range tunnels {
				if "https://"+to != srv.Endpoint {
					t.Errorf("a tunnel to %s", to)
				}
			}
		})
	}
}

// Credentials of the proxy's URL reach the proxy and nobody else.
func TestProxyCredentials(t *testing.T) {
	srv := serve(t, zerobustest.TLS())
	proxy := newTunnelProxy(t)
	proxy.wants = "user:hunter2/@"
	t.Setenv("HTTPS_PROXY", "http://user:hunter2%2F%40@"+proxy.host)
	if acks := sendAll(t, open(t, secure(srv)), 1); len(acks) != 1 {
		t.Errorf("%v", acks)
	}
	for name, url := range map[string]string{
		"wrong":            "http://user:hunter2@" + proxy.host,
		"none":             proxy.URL,
		"not a URL":        "http://user:hunter2@%zz",
		"another scheme":   "socks5://user:hunter2@" + proxy.host,
		"nobody there":     "http://user:hunter2@127.0.0.1:1",
		"no port, no host": "http://user:hunter2@",
	} {
		t.Setenv("HTTPS_PROXY", url)
		_, err := secure(srv, zerobus.Timeout(time.Minute)).NewAppender(jsonFormat).Open(limited(t))
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "user") {
			t.Errorf("%s: %v", name, err)
		}
		var refusal *zerobus.ProxyError
		switch name {
		case "wrong", "none":
			if wantIs(t, err, backend.ErrUnauthorized); !errors.As(err, &refusal) || refusal.Status != 407 || refusal.Proxy != proxy.host {
				t.Errorf("%s: %v", name, err)
			}
		case "nobody there":
			wantIs(t, err, backend.ErrTransient)
		default:
			wantIs(t, err, backend.ErrRejected)
		}
	}
}

// If a proxy makes no tunnel, the error has the status, and the status decides what to do.
func TestProxyRefusals(t *testing.T) {
	for status, want := range map[int]error{
		403: backend.ErrUnauthorized, 407: backend.ErrUnauthorized,
		500: backend.ErrTransient, 502: backend.ErrTransient, 503: backend.ErrTransient, 504: backend.ErrTransient,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			srv := serve(t, zerobustest.TLS())
			proxy := newTunnelProxy(t)
			proxy.refuses = status
			t.Setenv("HTTPS_PROXY", proxy.URL)
			sink := secure(srv)
			_, err := sink.NewAppender(jsonFormat).Open(limited(t))
			var refusal *zerobus.ProxyError
			if wantIs(t, err, want); !errors.As(err, &refusal) || refusal.Status != status || strings.Contains(err.Error(), "sorry") {
				t.Error(err)
			}
			proxy.mu.Lock()
			proxy.refuses = 0
			proxy.mu.Unlock()
			_ = open(t, sink)
		})
	}
}

// The attempt bounds the wait for a silent proxy. A proxy with an endless answer is an error.
func TestProxiesThatAreNone(t *testing.T) {
	for name, talk := range map[string]func(net.Conn){
		"silent":  func(net.Conn) {},
		"endless": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)) },
		"no HTTP": func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example.com ESMTP\r\n") },
		"hasty":   func(c net.Conn) { _ = c.Close() },
		"echo": func(c net.Conn) {
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 hunter22:"+strings.TrimPrefix(req.Header.Get("Proxy-Authorization"), "Basic ")+" what\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, zerobustest.TLS())
			newTunnelProxy(t) // clears the variables
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					wg.Go(func() {
						talk(c)
						_, _ = io.Copy(io.Discard, c)
						_ = c.Close()
					})
				}
			})
			t.Cleanup(func() { _ = l.Close(); wg.Wait() })
			t.Setenv("HTTPS_PROXY", "http://user:hunter22@"+l.Addr().String())
			patience := time.Minute // for a proxy that says something
			if name == "silent" {
				patience = 300 * time.Millisecond
			}
			_, err = secure(srv, zerobus.Timeout(patience)).NewAppender(jsonFormat).Open(limited(t))
			if wantIs(t, err, backend.ErrTransient); name == "silent" && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if s := err.Error(); strings.Contains(s, "hunter2") || strings.Contains(s, "dXNlcjpodW50ZXIy") || name == "echo" && !strings.Contains(s, "[hidden]") {
				t.Error(err)
			}
		})
	}
}

// The first bytes of the service may come together with the proxy's answer.
func TestAProxyThatAnswersTogetherWithTheService(t *testing.T) {
	srv := serve(t)
	newTunnelProxy(t) // clears the variables
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		here, err := l.Accept()
		if err != nil {
			return
		}
		defer here.Close()
		r := bufio.NewReader(here)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		there, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", req.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		first := make([]byte, 9) // a frame's header: the server's settings
		if _, err := io.ReadFull(there, first); err != nil {
			t.Error(err)
		}
		_, _ = here.Write(append([]byte("HTTP/1.1 200 OK\r\n\r\n"), first...))
		wg.Go(func() { _, _ = io.Copy(there, r); _ = there.Close() })
		_, _ = io.Copy(here, there)
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	t.Setenv("grpc_proxy", l.Addr().String())
	if acks := sendAll(t, open(t, clientOf(config(srv)).Table(table)), 1, 2); len(acks) != 2 {
		t.Errorf("%v", acks)
	}
}
