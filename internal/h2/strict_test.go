package h2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A deaf connection refuses every Write while is.
type deaf struct {
	net.Conn
	is atomic.Bool
}

func (c *deaf) Write(p []byte) (int, error) {
	if c.is.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// A strict server counts the windows, and changes its settings all the time. It demands that data keeps to the settings which the
// client has acknowledged.
type strict struct {
	conn net.Conn
	out  chan []byte // frames to send

	initial, maxFrame int      // acknowledged
	pending           [][2]int // sent, and not acknowledged: window and largest frame
	sent              int      // the setting for the window that was sent last
	window, common    int
	got               bytes.Buffer
}

// set sends new settings, between two pings.
func (s *strict) set(window, maxFrame int) {
	s.pending = append(s.pending, [2]int{window, maxFrame})
	s.sent = window
	payload := binary.BigEndian.AppendUint32([]byte{0, settingInitialWindow}, uint32(window))
	payload = binary.BigEndian.AppendUint32(append(payload, 0, settingMaxFrame), uint32(maxFrame))
	ping := appendFrame(nil, framePing, 0, 0, make([]byte, 8)...)
	s.out <- append(append(ping, appendFrame(nil, frameSettings, 0, 0, payload...)...), ping...)
}

// serve reads until the body ends.
func (s *strict) serve(r *rand.Rand) error {
	if _, err := io.CopyN(io.Discard, s.conn, int64(len(preface))); err != nil {
		return err
	}
	for {
		var head [headBytes]byte
		if _, err := io.ReadFull(s.conn, head[:]); err != nil {
			return err
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[:])>>8)
		if _, err := io.ReadFull(s.conn, payload); err != nil {
			return err
		}
		switch typ := frameType(head[3]); {
		case typ == frameSettings && head[4] == byte(flagAck):
			s.window += s.pending[0][0] - s.initial
			s.initial, s.maxFrame = s.pending[0][0], s.pending[0][1]
			s.pending = s.pending[1:]
		case typ == frameHeaders:
			s.out <- ok
			s.set(0, leastMaxFrame)
		case typ == frameData:
			s.window -= len(payload)
			s.common -= len(payload)
			if len(payload) > s.maxFrame || len(payload) > 0 && s.window < 0 || s.common < 0 {
				return fmt.Errorf("%d bytes, where %d are allowed in a frame; the windows are now %d and %d", len(payload), s.maxFrame, s.window, s.common)
			}
			s.got.Write(payload)
			if head[4] == byte(flagEndStream) {
				return nil
			}
			s.set(r.IntN(60_000), leastMaxFrame+r.IntN(3)<<14)
		}
		s.refill()
	}
}

// refill gives room when there is little, by the settings that the client will have by then.
func (s *strict) refill() {
	if room := s.window + s.sent - s.initial; room <= 0 {
		s.window += 40_000 - room
		s.out <- number(frameWindowUpdate, requestStream, uint32(40_000-room))
	}
	if s.common < 1<<16 {
		s.common += 1 << 20
		s.out <- number(frameWindowUpdate, 0, 1<<20)
	}
}

// The settings may shrink the window and the largest frame in the middle of a Write.
func TestDataKeepsToTheSettingsThatWereAcknowledged(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for seed := range uint64(8) {
		near, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		// With a small buffer, the system takes only a part of a write at a time.
		if err := near.(*net.TCPConn).SetWriteBuffer(1 << (9 + seed)); err != nil {
			t.Fatal(err)
		}
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		srv := &strict{conn: far, out: make(chan []byte, 1<<16), initial: firstWindow, sent: firstWindow, maxFrame: leastMaxFrame, window: firstWindow, common: firstWindow}
		var sending sync.WaitGroup
		sending.Go(func() {
			for frames := range srv.out {
				_, _ = far.Write(frames)
			}
		})
		served := make(chan error, 1)
		go func() {
			served <- srv.serve(rand.New(rand.NewPCG(seed, 1)))
			close(srv.out)
			sending.Wait()
			_ = far.Close()
		}()
		want := pour(t, near, rand.New(rand.NewPCG(seed, 2)))
		if err := <-served; err != nil || !bytes.Equal(srv.got.Bytes(), want) {
			t.Errorf("%d of %d bytes, %v", srv.got.Len(), len(want), err)
		}
	}
}

// pour sends a request and a megabyte or two of body, and returns the body.
func pour(t *testing.T, conn net.Conn, r *rand.Rand) (want []byte) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://s2.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, res, err := Do(conn, req, 0)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, res.Body)
		close(read)
	}()
	for range 100 {
		data := make([]byte, HeadRoom+1+r.IntN([]int{1_000, 20_000, 100_000}[r.IntN(3)]))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		want = append(want, data[HeadRoom:]...)
		if s.Ready(t.Context()) != nil || !s.Claim() {
			break // the server says why
		}
		if r.IntN(2) == 0 && s.Collect(data) {
			continue
		}
		rest, err := s.Write(t.Context(), data)
		if err != nil {
			break
		}
		if rest != nil {
			t.Error("a rest, and the context goes on")
		}
	}
	s.Finish()
	<-read
	_ = s.Close()
	return want
}

// A gate holds all writes up until it is open.
type gate struct {
	script
	entered chan struct{} // holds a token when a write waits
	open    chan struct{}
	err     error // of all writes
	writes  int
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1), open: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	wake(g.entered)
	<-g.open
	if g.err != nil {
		return 0, g.err
	}
	g.writes++
	return g.script.Write(p)
}

// body returns the payloads of the DATA frames that were sent.
func (s *script) body() (data []byte) {
	for b := bytes.TrimPrefix(s.out.Bytes(), []byte(preface)); len(b) > 0; {
		end := headBytes + int(binary.BigEndian.Uint32(b)>>8)
		if b[3] == byte(frameData) {
			data = append(data, b[headBytes:end]...)
		}
		b = b[end:]
	}
	return data
}

// The response may come while the beginning of the body waits for the network. The caller then has the Stream, and nothing of the
// caller may overtake the beginning.
func TestNothingOvertakesTheBeginningOfTheBody(t *testing.T) {
	for _, size := range []int{10, 2 * leastMaxFrame} {
		for range 50 {
			g := newGate()
			g.in.Reset(ok)
			beginning := bytes.Repeat([]byte("b"), size)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://s2.test/", bytes.NewReader(beginning))
			if err != nil {
				t.Fatal(err)
			}
			s, _, err := Do(g, req, 0)
			if err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() {
				err := s.Ready(t.Context())
				if err == nil && s.Claim() {
					_, err = s.Write(t.Context(), append(make([]byte, HeadRoom), "the rest"...))
				}
				written <- err
			}()
			close(g.open)
			if err := <-written; err != nil {
				t.Error(err)
			}
			if got, want := g.body(), string(beginning)+"the rest"; string(got) != want {
				t.Errorf("sent %q, want %q", got, want)
			}
			_ = s.Close()
		}
	}
}
