package misconfig_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/headrace/headrace/internal/misconfig"
)

// A closing connection tells that it was closed.
type closing struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A server of HTTP/2 without TLS sends its settings before it has read anything. They may come before net/http has written the
// request, or after.
func TestAServerThatSpeaksFirstHasNoHTTP1(t *testing.T) {
	for name, first := range map[string]bool{"before the request": true, "after the request": false} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer server.Close()
					if !first {
						if _, err := server.Read(make([]byte, 4096)); err != nil {
							return
						}
					}
					_, _ = server.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // an empty SETTINGS frame
				}()
				return &closing{Conn: client, closed: closed}, nil
			}}
			ctx := t.Context()
			if first { // the request waits until net/http has given up the connection
				ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { <-closed }})
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://store.example", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := transport.RoundTrip(req)
			if err == nil {
				_ = res.Body.Close()
				t.Fatal("an answer came")
			}
			var why *misconfig.Error
			if err = (misconfig.Hints{misconfig.OnlyHTTP2: "hint"}).Explain(err); !errors.As(err, &why) || why.Cause != misconfig.OnlyHTTP2 {
				t.Errorf("%v, want OnlyHTTP2", err)
			}
		})
	}
}
