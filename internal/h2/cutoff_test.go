package h2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/internal/misconfig"
)

// A failing connection takes so many more bytes, and then fails each Write until it recovers. Its Reads fail after a Close.
type failing struct {
	script
	mu     sync.Mutex
	takes  int
	err    error // nil: takes everything
	closed bool
}

func (c *failing) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return c.script.Write(p)
	}
	n, _ := c.script.Write(p[:min(c.takes, len(p))])
	c.takes -= n
	return n, c.err
}

func (c *failing) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.script.Read(p[:min(len(p), headBytes)]) // the rest is still in the network
}

func (c *failing) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

// fail lets the next Write take n bytes and then fail with err.
func (c *failing) fail(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takes, c.err = n, err
	c.out.Reset()
}

// over sends a request over c. The server has sent frames in advance.
func over(t *testing.T, c net.Conn, in *bytes.Reader, frames ...[]byte) (*Stream, *http.Response) {
	t.Helper()
	in.Reset(bytes.Join(frames, nil))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://s2.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, res, err := Do(c, req, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.flush() // what the test looks at is not the request
	return s, res
}

func write(t *testing.T, s *Stream, text string) error {
	t.Helper()
	if !s.Claim() {
		t.Fatal("nothing can be written")
	}
	rest, err := s.Write(t.Context(), append(make([]byte, HeadRoom), text...))
	if rest != nil {
		t.Errorf("the rest %q", rest)
	}
	return err
}

// The server would take any further byte for the end of the frame, and might store the data with the wrong end.
func TestNothingLeavesBehindAFrameThatWasCutOff(t *testing.T) {
	c := new(failing)
	s, res := over(t, c, &c.in, ok, appendFrame(nil, framePing, 0, 0, make([]byte, 8)...), setting(settingMaxFrame, 1<<20), text(flagEndStream, "ack"))
	c.fail(headBytes+3, os.ErrDeadlineExceeded)
	if err := write(t, s, "hello"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.err = nil // the network is back
	c.mu.Unlock()
	s.Finish()
	_, _ = io.ReadAll(res.Body)
	_ = s.flush()
	if got, want := c.out.String(), string(text(0, "hello")[:headBytes+3]); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// A slow connection takes a few bytes until each deadline.
type slow struct{ script }

func (c *slow) Write(p []byte) (int, error) {
	n, _ := c.script.Write(p[:min(len(p), 7)])
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

// As long as bytes leave, the rest of a frame follows.
func TestASlowNetworkGetsWholeFrames(t *testing.T) {
	c := new(slow)
	s, res := over(t, c, &c.in, ok, text(flagEndStream, "ack"))
	c.out.Reset()
	const long = "a text of more than seven bytes"
	if err := write(t, s, long); err != nil {
		t.Fatal(err)
	}
	if got, want := c.out.String(), string(text(0, long)); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	if got, err := io.ReadAll(res.Body); string(got) != "ack" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A server that leaves may send its last acks and its reason, and take nothing more.
func TestTheLastWordsOfTheServerAreReadAfterAFailedWrite(t *testing.T) {
	ping := appendFrame(nil, framePing, 0, 0, make([]byte, 8)...)
	for name, act := range map[string]func(*Stream){
		"Write":  func(s *Stream) { _ = write(t, s, "hello") },
		"Finish": func(s *Stream) { s.Finish(); _ = s.flush() },
		"ping":   func(*Stream) {}, // the answer fails
	} {
		t.Run(name, func(t *testing.T) {
			c := new(failing)
			s, res := over(t, c, &c.in, ok, ping, text(0, "last "), ping, text(flagEndStream, "words"))
			c.fail(0, syscall.ECONNRESET)
			act(s)
			got, err := io.ReadAll(res.Body)
			if string(got) != "last words" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if s.Claim() {
				t.Error("more can be written")
			}
			_ = s.Close()
		})
	}
}

// A connection that takes no more bytes may also never end its side. The last words have to come in time.
func TestAFailedWriteEndsReadInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			_, _ = io.CopyN(io.Discard, far, int64(len(preface)))
			_, _ = far.Write(ok)
			_, _ = io.Copy(io.Discard, far)
		}()
		c := &deaf{Conn: near}
		s, res := over(t, c, new(bytes.Reader))
		c.is.Store(true)
		if err := write(t, s, "hello"); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write: %v", err)
		}
		if _, err := io.ReadAll(res.Body); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Read: %v, want the reason", err)
		}
		_ = s.Close()
	})
}

// A connection may report an error together with all the bytes. The server may have the data.
func TestDataThatHasLeftWholeIsNotCalledUnsent(t *testing.T) {
	c := new(failing)
	s, res := over(t, c, &c.in, ok, text(flagEndStream, "ack"))
	c.fail(1<<10, syscall.ECONNRESET)
	if err := write(t, s, "hello"); err != nil {
		t.Errorf("all bytes were taken: %v", err)
	}
	if s.Claim() {
		t.Error("more can be written")
	}
	if got, err := io.ReadAll(res.Body); string(got) != "ack" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// eager returns io.EOF together with the last bytes, as a tls.Conn does.
type eager struct{ script }

func (c *eager) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err == nil && c.in.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

func TestACutStreamIsNotTakenForItsEnd(t *testing.T) {
	c := new(eager)
	_, res := over(t, c, &c.in, ok, text(0, "hello"))
	got, err := io.ReadAll(res.Body)
	if string(got) != "hello" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, err)
	}
}

// Behind a response of HTTP/2, other bytes come from a broken proxy. The caller must not take them for a wrong setting.
func TestALateAnswerInHTTP1IsNoWrongSetting(t *testing.T) {
	for _, late := range []string{"HTTP/1.1 408 Request Timeout\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x46\x00\x00"} {
		_, _, res, err := play(t, ok, []byte(late))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(res.Body)
		if err == nil || errors.As(err, new(*misconfig.Sign)) || !strings.Contains(err.Error(), "begins with") {
			t.Errorf("%v", err)
		}
	}
}
