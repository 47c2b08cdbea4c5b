package zerobus

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// strict is the URL of a server that refuses a call whose headers come before the ack of its SETTINGS, as nginx does with a small
// http2_body_preread_size. It counts connections.
func strict(t *testing.T) (url string, connections chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = make(chan struct{}, 10)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections <- struct{}{}
			serveStrictly(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
	return "http://" + l.Addr().String(), connections
}

// serveStrictly answers one call, until the client closes the connection.
func serveStrictly(c net.Conn) {
	defer c.Close()
	fr := http2.NewFramer(c, c)
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	for acked := false; ; {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			acked = acked || f.IsAck()
		case *http2.HeadersFrame:
			if !acked {
				_ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)
				continue
			}
			var block bytes.Buffer
			enc := hpack.NewEncoder(&block)
			_ = enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			_ = enc.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/grpc"})
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
		}
	}
}

func TestRefusedCallIsMadeOnceMoreBehindTheSettings(t *testing.T) {
	url, connections := strict(t)
	c, err := begin(t, url)
	if err != nil {
		t.Fatal(err)
	}
	c.cut()
	if n := len(connections); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}
