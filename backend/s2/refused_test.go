package s2_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// A strictProxy refuses a request that comes before the ack of its SETTINGS, as nginx does with requests that have a body and a small
// http2_body_preread_size. A strictProxy with always refuses all requests. The rest of a connection passes to the server.
type strictProxy struct {
	server  string
	always  bool
	refused atomic.Int64
}

// strict starts a strictProxy in front of srv, and makes a stream behind the proxy.
func strict(t *testing.T, srv *s2test.Server, always bool, opts ...s2.StreamOption) (*strictProxy, *s2.Stream) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &strictProxy{server: strings.TrimPrefix(srv.URL(), "http://"), always: always}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	// The client closes its connections before the cleanup above waits for them.
	c := at(t, "http://"+l.Addr().String())
	return p, c.Basin(basinName).Stream(streamName(), opts...)
}

func (p *strictProxy) serve(c net.Conn) {
	defer c.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	in := bufio.NewReader(c)
	if start, _ := in.Peek(3); string(start) == "PRI" && !p.meet(c, in, server) {
		_, _ = io.Copy(io.Discard, in) // until the client has closed the connection
		return
	}
	go func() {
		defer c.Close()
		_, _ = io.Copy(c, server)
	}()
	_, _ = io.Copy(server, in)
}

// meet exchanges SETTINGS with the client, and passes on what the client says before their ack. meet returns false after a refusal.
func (p *strictProxy) meet(c net.Conn, in io.Reader, server io.Writer) bool {
	var said bytes.Buffer
	in = io.TeeReader(in, &said)
	fr := http2.NewFramer(c, in)
	if _, err := io.ReadFull(in, make([]byte, len(http2.ClientPreface))); err != nil || fr.WriteSettings() != nil {
		return false
	}
	for {
		before := said.Len()
		f, err := fr.ReadFrame()
		if err != nil {
			return false
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() && !p.always {
				_, err := server.Write(said.Bytes()[:before]) // the server does not know the settings of the proxy
				return err == nil
			}
		case *http2.HeadersFrame:
			p.refused.Add(1)
			_ = fr.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream)
			return false
		}
	}
}

// A refused request was never processed, so the client repeats it at once, and behind the SETTINGS.
func TestRefusedAppendSessionIsOpenedBehindTheSettings(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]s2.StreamOption{"plain": nil, "exclusive": {s2.Exclusive()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Duplicates())
			proxy, st := strict(t, srv, false, opts...)
			var want []string
			for i := range 3 { // sessions
				session, err := st.NewAppender(backend.Format{}).Open(t.Context())
				check(t, err)
				for seq := range 3 {
					v := fmt.Sprint(i, seq)
					check(t, session.Send(t.Context(), uint64(seq), values(v)))
					want = append(want, v)
				}
				for range 3 {
					_, err := session.Recv(t.Context())
					check(t, err)
				}
				check(t, session.Close())
			}
			if got := texts(stored(t, st)); !slices.Equal(got, want) || srv.Stats().Duplicates != 0 {
				t.Errorf("stored %q, want %q; %d duplicates", got, want, srv.Stats().Duplicates)
			}
			if n := proxy.refused.Load(); n != 3 {
				t.Errorf("%d requests were refused, want the first of each session", n)
			}
		})
	}
}

// A server that refuses the second request too is left alone until the producer's next attempt.
func TestAppendSessionIsRepeatedOnceAtMost(t *testing.T) {
	t.Parallel()
	proxy, st := strict(t, s2test.New(t, s2test.Basin(basinName, true)), true)
	_, err := st.NewAppender(backend.Format{}).Open(t.Context())
	want(t, err, backend.ErrTransient)
	if n := proxy.refused.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
