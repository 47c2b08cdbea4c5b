package s2_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// terminate puts TLS before a server, as load balancers do, with HTTP/2 by ALPN. It returns where, and who to trust.
func terminate(t *testing.T, srv *s2test.Server) (addr string, roots *x509.CertPool) {
	t.Helper()
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	roots = x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: []string{"h2"}})
	check(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", strings.TrimPrefix(srv.URL(), "http://"))
				if err != nil {
					return
				}
				running.Go(func() {
					_, _ = io.Copy(in, out)
					_ = in.Close()
				})
				_, _ = io.Copy(out, in)
				_ = out.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String(), roots
}

// All of it over TLS and HTTP/2 by ALPN, as S2 itself is reached.
func TestSessionsOverTLS(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	addr, roots := terminate(t, srv)
	at := s2.Config{Token: srv.Token(), AccountEndpoint: "https://" + addr, BasinEndpoint: "https://" + addr}
	trusting, err := s2.New(at, patient(s2.TLS(&tls.Config{RootCAs: roots}), s2.Zstd())...)
	check(t, err)
	st := trusting.Basin(basinName).Stream(streamName(), s2.Exclusive())
	p, err := producer.New(t.Context(), st, codec.String())
	check(t, err)
	for i := range 5000 {
		_, err := p.Enqueue(t.Context(), fmt.Sprint(i))
		check(t, err)
	}
	check(t, p.Close())
	exactly(t, st, 5000)
	check(t, trusting.Close())

	wary, err := s2.New(at, patient(s2.Attempts(1))...)
	check(t, err)
	defer wary.Close()
	_, err = wary.Basin(basinName).Stream("s").CheckTail(t.Context())
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("%v, want that nobody vouches for the server", err)
	}
	_, err = producer.New(t.Context(), wary.Basin(basinName).Stream("s"), codec.String()) // it does not go on trying
	if !errors.As(err, &unknown) || errors.Is(err, backend.ErrTransient) {
		t.Errorf("%v, want that nobody vouches for the server, which no time mends", err)
	}
}
