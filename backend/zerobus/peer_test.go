package zerobus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/headrace/headrace/backend"
)

// A peer is a server that a test plays frame by frame.
type peer struct {
	*http2.Framer
	conn net.Conn
	out  queue
	body bytes.Buffer // of the request
}

// A queue is written to without waiting, like the buffer of a socket. A net.Pipe has none.
type queue chan []byte

func (q queue) Write(p []byte) (int, error) {
	q <- bytes.Clone(p)
	return len(p), nil
}

func (q queue) drain(to io.Writer) {
	for p := range q {
		_, _ = to.Write(p)
	}
}

const peerToken = "0123456789abcdef"

// opened opens a session whose server is played by serve, from its headers on, in a bubble with a clock of its own.
func opened(t *testing.T, serve func(*peer)) (backend.Session, error) {
	dial := func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			out := make(queue, 1000)
			go out.drain(far)
			defer close(out)
			p := &peer{Framer: http2.NewFramer(out, far), out: out, conn: far}
			if _, err := io.CopyN(io.Discard, far, int64(len(http2.ClientPreface))); err != nil {
				return
			}
			serve(p)
		}()
		return near, nil
	}
	given := HeadersFunc(func(context.Context, string) (map[string]string, error) {
		return map[string]string{"authorization": "Bearer " + peerToken}, nil
	})
	client, err := New(Config{Endpoint: "http://127.0.0.1:1"}, Headers(given), Dial(dial))
	if err != nil {
		t.Fatal(err)
	}
	return client.Table("a.b.c").NewAppender(backend.Format{ContentType: "application/json"}).Open(t.Context())
}

// read reads frames until the body has so many messages, and keeps the body. It returns false at the end of the connection. At the
// end of the body it returns true.
func (p *peer) read(messages int) bool {
	for p.messages() < messages {
		f, err := p.ReadFrame()
		if err != nil {
			return false
		}
		if data, ok := f.(*http2.DataFrame); ok {
			p.body.Write(data.Data())
			if data.StreamEnded() {
				return true
			}
		}
	}
	return true
}

// messages counts the whole messages of the body.
func (p *peer) messages() (n int) {
	for b := p.body.Bytes(); len(b) >= messageHead; n++ {
		size := messageHead + int(binary.BigEndian.Uint32(b[1:]))
		if len(b) < size {
			break
		}
		b = b[size:]
	}
	return n
}

// headers sends headers, as pairs.
func (p *peer) headers(end bool, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true})
}

// say sends a message.
func (p *peer) say(message ...byte) {
	_ = p.WriteData(1, false, append(appendMessageHead(nil, len(message)), message...))
}

// accept opens the stream behind the first message.
func (p *peer) accept() {
	_ = p.WriteSettings()
	p.read(1)
	p.headers(false, ":status", "200", "content-type", "application/grpc")
	p.say(tagCreate, 3, tagTable, 1, 'x')
}

// ack acknowledges up to an offset.
func (p *peer) ack(offset byte) { p.say(2<<3|2, 2, 1<<3, offset) }

// rest reads to the end of the connection.
func (p *peer) rest() { _, _ = io.Copy(io.Discard, p.conn) }

// fate sends a batch, and returns the reason for the end of the stream.
func fate(t *testing.T, serve func(*peer)) error {
	t.Helper()
	s, err := opened(t, serve)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(t.Context(), 0, []backend.Record{{Value: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err = s.Recv(t.Context()); err != nil {
			return err
		}
	}
}

// The setting was right when the stream was opened. If a row in flight counted as refused, the producer would report a stored row
// as lost.
func TestNothingThatAProxyInsertsRefusesTheRowsInFlight(t *testing.T) {
	for _, inserted := range []string{"HTTP/1.1 408 Request Timeout\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x46\x00\x00"} {
		synctest.Test(t, func(t *testing.T) {
			err := fate(t, func(p *peer) {
				p.accept()
				p.read(2)
				_, _ = io.WriteString(p.out, inserted)
				p.rest()
			})
			if !errors.Is(err, backend.ErrIndeterminate) || errors.Is(err, backend.ErrRejected) || strings.Contains(err.Error(), "Endpoint") {
				t.Errorf("%q: %v", inserted, err)
			}
		})
	}
}

// A server may repeat the headers of the request where it explains why it leaves.
func TestTheLastWordsOfAConnectionHideTheToken(t *testing.T) {
	for name, text := range map[string]string{
		"short": "no entry for Bearer " + peerToken,
		"long":  strings.Repeat("x", 190) + " " + peerToken + strings.Repeat("!", 200),
	} {
		t.Run(name, func(t *testing.T) {
			leave := func(p *peer) {
				_ = p.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, []byte(text))
				p.rest()
			}
			synctest.Test(t, func(t *testing.T) {
				_, err := opened(t, func(p *peer) {
					p.read(1)
					leave(p)
				})
				lost := fate(t, func(p *peer) {
					p.accept()
					p.read(2)
					leave(p)
				})
				for _, err := range []error{err, lost} {
					if err == nil || strings.Contains(err.Error(), peerToken[:8]) || !strings.Contains(err.Error(), "error code 11") {
						t.Errorf("%v", err)
					}
				}
			})
		})
	}
}

// The server gives no room, and the context of Send ends. Nothing of the batch has left, so the stream ends politely, with the acks
// of the batches before.
func TestASendWithoutRoomCostsNoAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := opened(t, func(p *peer) {
			p.accept()
			p.read(2)
			_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			if !p.read(9) { // to the end of the body
				return
			}
			p.ack(0)
			p.headers(true, "grpc-status", "0")
			p.rest()
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		recs := []backend.Record{{Value: []byte("{}")}}
		if err := s.Send(t.Context(), 0, recs); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()                                              // the settings have come
		ctx, cancel := context.WithTimeout(t.Context(), 3*slowWrite) // ends when checkWrite runs
		defer cancel()
		if err := s.Send(ctx, 1, recs); !errors.Is(err, backend.ErrTransient) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
		if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != 0 {
			t.Errorf("ack %v, %v", ack.Seq, err)
		}
		if _, err := s.Recv(t.Context()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Recv: %v", err)
		}
	})
}

// A gateway may answer with a type of gRPC and a status of HTTP alone.
func TestAStatusOfHTTPCountsWithoutOneOfGRPC(t *testing.T) {
	for _, test := range []struct {
		status string
		fields []string
		want   error
	}{
		{"401", nil, backend.ErrUnauthorized},
		{"503", nil, backend.ErrTransient},
		{"503", []string{"grpc-status", "5"}, backend.ErrNotFound},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := opened(t, func(p *peer) {
				p.read(1)
				p.headers(true, append([]string{":status", test.status, "content-type", "application/grpc"}, test.fields...)...)
				p.rest()
			})
			if !errors.Is(err, test.want) || errors.As(err, new(*ProtocolError)) {
				t.Errorf("%v: %v, want %v", test, err, test.want)
			}
		})
	}
}

// Whatever a server writes, and however the network cuts it, the acks come in order and each once, and then the status.
func TestMessagesMayBeCutAnywhere(t *testing.T) {
	const batches = 5
	for size := 1; size < 40; size += 3 {
		synctest.Test(t, func(t *testing.T) {
			s, err := opened(t, func(p *peer) {
				p.accept()
				p.read(1 + batches)
				var all []byte
				for i := range byte(batches) {
					all = append(appendMessageHead(all, 4), 2<<3|2, 2, 1<<3, i)
				}
				for len(all) > 0 {
					n := min(size, len(all))
					_ = p.WriteDataPadded(1, false, all[:n], make([]byte, size))
					_ = p.WritePing(false, [8]byte{})
					all = all[n:]
				}
				p.headers(true, "grpc-status", "14", "grpc-message", "bye")
				_ = p.WriteRSTStream(1, http2.ErrCodeNo)
				p.rest()
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for i := range uint64(batches) {
				if err := s.Send(t.Context(), i, []backend.Record{{Value: fmt.Appendf(nil, `{"n":%d}`, i)}}); err != nil {
					t.Fatal(err)
				}
			}
			next := uint64(0)
			for {
				ack, err := s.Recv(t.Context())
				if err != nil {
					if next != batches || !strings.Contains(err.Error(), "bye") {
						t.Errorf("DATA of %d bytes: %d acknowledged, then %v", size, next, err)
					}
					break
				}
				if ack.Seq < next {
					t.Errorf("ack %d behind %d", ack.Seq, next)
				}
				next = ack.Seq + 1
			}
		})
	}
}
