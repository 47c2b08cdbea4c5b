package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/s2/s2test"
)

const testBasin = "test-basin"

// A peer speaks to the server with net/http only. If the tests used our client, the same mistake in both would stay unseen.
type peer struct {
	t    testing.TB
	srv  *s2test.Server
	h2   *http.Client
	h1   *http.Client
	auth string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func start(t testing.TB, opts ...s2test.Option) *peer {
	srv := s2test.New(t, append([]s2test.Option{s2test.Basin(testBasin, true)}, opts...)...)
	return newPeer(t, srv)
}

func newPeer(t testing.TB, srv *s2test.Server) *peer {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	h2 := &http.Transport{Protocols: p, DisableCompression: true, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 8 << 20, MaxReceiveBufferPerConnection: 32 << 20, MaxReadFrameSize: 1 << 20}}
	h1 := &http.Transport{DisableCompression: true}
	t.Cleanup(func() { h2.CloseIdleConnections(); h1.CloseIdleConnections() })
	peer := &peer{t, srv, &http.Client{Transport: h2}, &http.Client{Transport: h1}, "Bearer " + srv.Token(), new(net.Dialer).DialContext}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return peer.dial(ctx, network, addr)
	}
	h1.DialContext, h2.DialContext = dial, dial
	return peer
}

// request makes one with alternating header names and values.
func (p *peer) request(method, path string, body io.Reader, headers ...string) *http.Request {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.srv.URL()+"/v1"+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("authorization", p.auth)
	r.Header.Set("s2-basin", testBasin)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// call does a unary call with JSON in and out.
func (p *peer) call(method, path, body string, headers ...string) (int, string) {
	p.t.Helper()
	r := p.request(method, path, strings.NewReader(body), append([]string{"content-type", "application/json"}, headers...)...)
	resp, err := p.h1.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// want calls and compares the status, and a part of the body where one is given.
func (p *peer) want(status int, part, method, path, body string, headers ...string) string {
	p.t.Helper()
	got, b := p.call(method, path, body, headers...)
	if got != status || !strings.Contains(b, part) {
		p.t.Errorf("%s %s %s: %d %s, want %d with %q", method, path, body, got, b, status, part)
	}
	return b
}

// A duplex is an append session.
type duplex struct {
	t    testing.TB
	in   *io.PipeWriter
	resp *http.Response
	r    *bufio.Reader
}

func (p *peer) appendSession(stream string, headers ...string) *duplex {
	p.t.Helper()
	pr, pw := io.Pipe()
	r := p.request(http.MethodPost, "/streams/"+stream+"/records", pr, append([]string{"content-type", "s2s/proto"}, headers...)...)
	resp, err := p.h2.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { pw.Close(); resp.Body.Close() })
	return &duplex{p.t, pw, resp, bufio.NewReader(resp.Body)}
}

func (p *peer) readSession(stream, query string, headers ...string) *duplex {
	p.t.Helper()
	r := p.request(http.MethodGet, "/streams/"+stream+"/records?"+query, nil, append([]string{"content-type", "s2s/proto"}, headers...)...)
	resp, err := p.h2.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	return &duplex{p.t, nil, resp, bufio.NewReader(resp.Body)}
}

func frame(flags byte, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)+1)<<8|uint32(flags))
	return append(b, payload...)
}

func (d *duplex) send(b []byte) {
	d.t.Helper()
	if _, err := d.in.Write(b); err != nil {
		d.t.Fatal(err)
	}
}

// frame reads one frame; io.EOF is a clean end.
func (d *duplex) frame() (flags byte, payload []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:]) >> 8
	payload = make([]byte, n-1)
	_, err = io.ReadFull(d.r, payload)
	return head[3], payload, err
}

// wantFrame reads a frame and compares it.
func (d *duplex) wantFrame(flags byte, payload []byte) {
	d.t.Helper()
	f, b, err := d.frame()
	if err != nil || f != flags || !bytes.Equal(b, payload) {
		d.t.Fatalf("frame %02x %x, %v; want %02x %x", f, b, err, flags, payload)
	}
}

// wantTerminal reads the terminal frame and the end behind it.
func (d *duplex) wantTerminal(status int, part string) {
	d.t.Helper()
	f, b, err := d.frame()
	if err != nil || f != 0x80 || len(b) < 2 || int(binary.BigEndian.Uint16(b)) != status || !strings.Contains(string(b[2:]), part) {
		d.t.Fatalf("frame %02x %q, %v; want a terminal one with %d and %q", f, b, err, status, part)
	}
	if _, _, err := d.frame(); err != io.EOF {
		d.t.Fatalf("behind the terminal frame: %v", err)
	}
}

func (d *duplex) wantEnd() {
	d.t.Helper()
	if f, b, err := d.frame(); err != io.EOF {
		d.t.Fatalf("frame %02x %x, %v; want a clean end", f, b, err)
	}
}

// pb writes protobuf messages field by field; tests spell them out that way.
type pb []byte

func (b pb) uint(num byte, v uint64) pb {
	return binary.AppendUvarint(append(b, num<<3), v)
}

func (b pb) bytes(num byte, v []byte) pb {
	return append(binary.AppendUvarint(append(b, num<<3|2), uint64(len(v))), v...)
}

func input(bodies ...string) []byte {
	var in pb
	for _, s := range bodies {
		in = in.bytes(1, pb(nil).bytes(3, []byte(s)))
	}
	return in
}

func decode[T any](t testing.TB, s string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}
