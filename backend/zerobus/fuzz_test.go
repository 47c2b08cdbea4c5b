package zerobus

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/headrace/headrace/internal/redact"
)

// A recorded connection is one whose server has written everything in advance.
type recorded struct {
	bytes.Reader
}

func (*recorded) Write(p []byte) (int, error)      { return len(p), nil }
func (*recorded) Close() error                     { return nil }
func (*recorded) LocalAddr() net.Addr              { return nil }
func (*recorded) RemoteAddr() net.Addr             { return nil }
func (*recorded) SetDeadline(time.Time) error      { return nil }
func (*recorded) SetReadDeadline(time.Time) error  { return nil }
func (*recorded) SetWriteDeadline(time.Time) error { return nil }

// FuzzCall: whatever a server answers, a call ends with an error of a known kind.
func FuzzCall(f *testing.F) {
	ends := [][]string{
		{"grpc-status", "0"},
		{"grpc-status", "16", "grpc-message", "no%20entry for " + peerToken},
		{"grpc-status", "3", "grpc-message", "%zz" + peerToken, "grpc-status-details-bin", base64.StdEncoding.EncodeToString([]byte(peerToken))},
		{"x-other", peerToken},
	}
	for _, end := range ends {
		var answer bytes.Buffer
		p := &peer{Framer: http2.NewFramer(&answer, nil)}
		_ = p.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		p.headers(false, ":status", "200", "content-type", "application/grpc")
		p.say(tagCreate, 3, tagTable, 1, 'x')
		p.ack(0)
		p.say(3<<3|2, 2, 1<<3|2, 0) // the end is near
		_ = p.WriteDataPadded(1, false, []byte{0, 0, 0}, make([]byte, 7))
		_ = p.WriteData(1, false, []byte{0, 1, 0xff})
		p.headers(true, end...)
		_ = p.WriteGoAway(1, http2.ErrCodeNo, []byte(peerToken))
		f.Add(answer.Bytes())
		answer.Reset()
		p.headers(true, append([]string{":status", "200", "content-type", "application/grpc"}, end...)...)
		f.Add(answer.Bytes())
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		conn := new(recorded)
		conn.Reset(answer)
		dial := func(context.Context, string) (net.Conn, error) { return conn, nil }
		client, err := New(Config{Endpoint: "http://127.0.0.1:1"}, Headers(HeadersFunc(nil)), Dial(dial))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c, err := client.newCall(ctx, grant{header: http.Header{}, hidden: redact.Secrets{peerToken}}, []byte("first"))
		for r := (response{}); err == nil; {
			err = c.recv(&r)
		}
		var said *Error
		var broken *ProtocolError
		if err != io.EOF && !errors.As(err, &said) && !errors.As(err, &broken) && !errors.Is(err, errConnection) {
			t.Errorf("an error of no kind: %v", err)
		}
		if said != nil && said.RetryAfter() < 0 {
			t.Errorf("a wait of %v", said.RetryAfter())
		}
	})
}
