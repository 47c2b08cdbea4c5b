package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// echo starts a server of net/http that sends the body of each request back while it comes. The windows are small, so data has to
// wait for room in both directions.
func echo(t *testing.T, secure bool) *httptest.Server {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 10_000)
		for {
			n, err := r.Body.Read(buf)
			if _, werr := w.Write(buf[:n]); err != nil || werr != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	}))
	// A write of a megabyte needs many frames, and more room than there is at first.
	srv.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10, MaxReceiveBufferPerConnection: 512 << 10, MaxReadFrameSize: 16 << 10}
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	if secure {
		srv.Config.Protocols.SetHTTP2(true)
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

func TestARealServerSendsBackAllData(t *testing.T) {
	for name, secure := range map[string]bool{"clear text": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			srv := echo(t, secure)
			tr := new(http.Transport)
			if secure {
				roots := x509.NewCertPool()
				roots.AddCert(srv.Certificate())
				tr.TLSClientConfig = &tls.Config{RootCAs: roots}
			}
			Configure(tr, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			res, s := begin(t, ctx, tr, srv.URL)
			defer res.Body.Close()
			var want bytes.Buffer
			sent := make(chan error, 1)
			go func() {
				for size := 1; size < 1_000_000; size *= 7 {
					data := make([]byte, HeadRoom, HeadRoom+size)
					for i := range size {
						data = append(data, byte(i*size))
					}
					want.Write(data[HeadRoom:])
					if err := s.Ready(ctx); err != nil || !s.Claim() {
						sent <- err
						return
					}
					if _, err := s.Write(ctx, data); err != nil {
						sent <- err
						return
					}
				}
				s.Finish()
				sent <- nil
			}()
			got, err := io.ReadAll(res.Body)
			if err := <-sent; err != nil {
				t.Error(err)
			}
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%d bytes came back of %d, %v", len(got), want.Len(), err)
			}
		})
	}
}

// begin sends the request and waits for the headers of the response.
func begin(t *testing.T, ctx context.Context, tr *http.Transport, url string) (*http.Response, *Stream) {
	t.Helper()
	ctx, accepted := Await(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return res, accepted()
}

// The end of the context closes the connection, whatever Read and Write wait for.
func TestTheEndOfTheContextEndsReadAndWrite(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	tr := new(http.Transport)
	Configure(tr, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, s := begin(t, ctx, tr, srv.URL)
	defer res.Body.Close()
	ended := make(chan error, 2)
	go func() {
		_, err := res.Body.Read(make([]byte, 1))
		ended <- err
	}()
	go func() {
		if !s.Claim() {
			ended <- errClosed // the context was faster
			return
		}
		_, err := s.Write(context.Background(), make([]byte, HeadRoom+64<<20)) // more than any window
		ended <- err
	}()
	cancel()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("it ended without an error")
		}
	}
}

// The beginning of the body may be larger than the room that a server gives at first, and the response may come before its end.
func TestTheBodyOfTheRequestIsTheBeginning(t *testing.T) {
	for _, size := range []int{0, 1, 1 << 20} {
		srv := echo(t, false)
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		s, res, err := Do(conn, req, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if s.Ready(t.Context()) == nil && s.Claim() {
				_, _ = s.Write(t.Context(), append(make([]byte, HeadRoom), "the rest"...))
			}
			s.Finish()
		}()
		got, err := io.ReadAll(res.Body)
		if err != nil || string(got) != string(want)+"the rest" {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		_ = s.Close()
	}
}

func TestTheFieldsBehindTheBodyAreTheTrailer(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "body")
		w.Header().Set(http.TrailerPrefix+"X-Last", "word")
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	tr := new(http.Transport)
	Configure(tr, 0)
	res, s := begin(t, t.Context(), tr, srv.URL)
	defer s.Close()
	got, err := io.ReadAll(res.Body)
	if string(got) != "body" || err != nil || len(res.Trailer) != 1 || res.Trailer.Get("X-Last") != "word" {
		t.Errorf("%q, %v, trailer %v", got, err, res.Trailer)
	}
}
