package s2_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// proxies are ways to a server without HTTP/2. Each returns the URL, and the options a client needs.
var proxies = map[string]func(t *testing.T, srv *s2test.Server) (string, []s2.Option){
	"plain HTTP/1.1": func(t *testing.T, srv *s2test.Server) (string, []s2.Option) {
		p := proxy(t, srv)
		p.Start()
		return p.URL, nil
	},
	"TLS that offers HTTP/1.1 only": func(t *testing.T, srv *s2test.Server) (string, []s2.Option) {
		p := proxy(t, srv)
		p.StartTLS()
		return p.URL, trusting(p)
	},
	"TLS that negotiates nothing": func(t *testing.T, srv *s2test.Server) (string, []s2.Option) {
		p := proxy(t, srv)
		p.StartTLS()
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: p.TLS.Certificates})
		if err != nil {
			t.Fatal(err)
		}
		bare := &http.Server{Handler: p.Config.Handler, ErrorLog: quiet, Protocols: p.Config.Protocols}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = bare.Serve(l) // ends with the listener
		}()
		t.Cleanup(func() {
			_ = bare.Close()
			<-served
		})
		return "https://" + l.Addr().String(), trusting(p)
	},
	"a server that hangs up on HTTP/2": func(t *testing.T, srv *s2test.Server) (string, []s2.Option) {
		return preface(t, srv, func(net.Conn) {}), nil
	},
	"a server that HTTP/2 puzzles": func(t *testing.T, srv *s2test.Server) (string, []s2.Option) {
		wait := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the client gives up
		return preface(t, srv, wait), impatient                    // each opening waits for this long before the reader falls back
	},
}

var quiet = log.New(io.Discard, "", 0)

// proxy passes requests on over HTTP/1.1.
func proxy(t *testing.T, srv *s2test.Server) *httptest.Server {
	t.Helper()
	to, err := url.Parse(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	behind := &http.Transport{}
	p := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: behind,
		ErrorLog:  quiet,
	})
	p.Config.ErrorLog = quiet
	p.Config.Protocols = new(http.Protocols)
	p.Config.Protocols.SetHTTP1(true)
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
		behind.CloseIdleConnections()
	})
	return p
}

func trusting(p *httptest.Server) []s2.Option {
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	return []s2.Option{s2.TLS(&tls.Config{RootCAs: roots})}
}

// preface calls treat for connections with HTTP/2, and passes other connections on.
func preface(t *testing.T, srv *s2test.Server, treat func(net.Conn)) string {
	t.Helper()
	p := proxy(t, srv)
	p.Listener = &sniffer{Listener: p.Listener, treat: treat}
	p.Start()
	return p.URL
}

type sniffer struct {
	net.Listener
	treat func(net.Conn)
}

func (l *sniffer) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sniffed{Conn: c, in: bufio.NewReader(c), treat: l.treat}, nil
}

type sniffed struct {
	net.Conn
	in    *bufio.Reader
	treat func(net.Conn)
}

func (c *sniffed) Read(p []byte) (int, error) {
	if b, err := c.in.Peek(3); err == nil && string(b) == "PRI" {
		c.treat(c.Conn)
		return 0, io.EOF
	}
	return c.in.Read(p)
}

// Where HTTP/2 does not pass, a reader uses server-sent events by itself. A break costs nothing there either.
func TestReadersFallBackToEventsWhereHTTP2DoesNotPass(t *testing.T) {
	t.Parallel()
	for name, way := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := s2test.New(t, s2test.Basin(basinName, true))
			direct := dial(t, srv).Basin(basinName).Stream(streamName())
			want := fillStream(t, direct, 5000)
			at, opts := way(t, srv)
			c, err := s2.New(s2.Config{Token: srv.Token(), AccountEndpoint: at, BasinEndpoint: at}, patient(opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			over := srv.Inject(s2test.Fault{Op: s2test.EventRead, Times: s2test.Always, Do: s2test.Delay(0)}) // counts
			var breaks []*s2test.Injection
			for i, do := range []s2test.Effect{s2test.Drop(), s2test.CutAfter(1000), s2test.End()} {
				breaks = append(breaks, srv.Inject(s2test.Fault{Op: s2test.EventRead, Stage: s2test.Replying, Skip: 1 + 2*i, Do: do}))
			}
			src, err := consumer.New(c.Basin(basinName).Stream(direct.Name()), codec.String(), consumer.StopAtTail())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for m, err := range src.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.Value)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d records read, want exactly %d in order", len(got), len(want))
			}
			for i, in := range breaks {
				if in.Hits() != 1 {
					t.Errorf("break %d struck %d times", i, in.Hits())
				}
			}
			// A break may hit an opening already given up by an impatient client. Such a break causes no reopening.
			if n := src.Stats().Reopened; n == 0 || over.Hits() < 4 {
				t.Errorf("reopened %d times, %d sessions of events", n, over.Hits())
			}

			// Appends cannot use events: an opening fails in time.
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if s, err := c.Basin(basinName).Stream(direct.Name()).NewAppender(backend.Format{}).Open(ctx); err == nil {
				_ = s.Close()
				t.Error("an append session opened without HTTP/2")
			}

			// The reader returns the refusal of the server, and not the failure of HTTP/2. A busy machine may answer an
			// impatient client too late, so the test asks again.
			missing := c.Basin("no-such-basin").Stream("orders")
			_, err = persist(t.Context(), func() (backend.Reader, error) { return missing.OpenReader(t.Context(), backend.Earliest) })
			var refused *s2.Error
			if !errors.Is(err, backend.ErrNotFound) || !errors.As(err, &refused) {
				t.Errorf("a stream that does not exist: %v, want ErrNotFound", err)
			}
		})
	}
}

// Where HTTP/2 does not pass, a lost connection may pass as it may over HTTP/2, and the error says both.
func TestLostConnectionOfEventsMayPass(t *testing.T) {
	t.Parallel()
	p := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hangUp() }))
	p.Config.ErrorLog = quiet
	p.StartTLS()
	defer p.Close()
	st := at(t, p.URL, trusting(p)...).Basin(basinName).Stream("s")
	_, err := st.OpenReader(t.Context(), backend.Earliest)
	want(t, err, backend.ErrTransient)
	if !strings.Contains(err.Error(), "EOF") || !strings.Contains(err.Error(), "does not offer HTTP/2") {
		t.Errorf("%v", err)
	}
}

// After HTTP/2 has worked, a broken connection is no reason for events.
func TestABrokenOpeningIsNoReasonForEvents(t *testing.T) {
	srv, st := fresh(t, nil)
	fillStream(t, st, 1)
	over := srv.Inject(s2test.Fault{Op: s2test.EventRead, Times: s2test.Always, Do: s2test.Delay(0)})
	srv.Inject(s2test.Fault{Op: s2test.ReadSession, Do: s2test.Drop()})
	if r, err := st.OpenReader(t.Context(), backend.Earliest); !errors.Is(err, backend.ErrTransient) {
		t.Errorf("%v, %v, want ErrTransient", r, err)
	}
	if over.Hits() != 0 {
		t.Error("it went on with events")
	}
}

// The end of the context ends the fall back, and leaves nothing behind.
func TestAFallBackEndsWithItsContext(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	srv.Inject(s2test.Fault{Op: s2test.EventRead, Times: s2test.Always, Do: s2test.Stall()})
	at, _ := proxies["plain HTTP/1.1"](t, srv)
	c, err := s2.New(s2.Config{Token: srv.Token(), AccountEndpoint: at, BasinEndpoint: at})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, err := c.Basin(basinName).Stream("orders").OpenReader(ctx, backend.Earliest)
	if !errors.Is(err, backend.ErrTransient) {
		t.Errorf("%s, %v, want ErrTransient", fmt.Sprint(r), err)
	}
}
