package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var ping = appendFrame(nil, framePing, 0, 0, make([]byte, 8)...)

// opened sends a request over a pipe. far is the server's end, which has read the request.
func opened(t *testing.T) (s *Stream, res *http.Response, far net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		_, _ = far.Read(make([]byte, 4096)) // the request leaves in one write
		_, _ = far.Write(ok)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://s2.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, res, err = Do(near, req, 0); err != nil {
		t.Fatal(err)
	}
	return s, res, far
}

// A server may have work to do before it reads on, and send acks and PINGs meanwhile.
func TestTheServerIsHeardWhileItTakesNoBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, res, far := opened(t)
		if !s.Claim() {
			t.Fatal("nothing can be written")
		}
		go func() { _, _ = s.Write(t.Context(), append(make([]byte, HeadRoom), "a batch"...)) }()
		began := time.Now()
		go func() {
			_, _ = far.Write(bytes.Join([][]byte{ping, setting(settingMaxFrame, 1<<20), ping, text(0, "an ack")}, nil))
		}()
		got := make([]byte, 6)
		if _, err := io.ReadFull(res.Body, got); string(got) != "an ack" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the ack was heard after %v", waited)
		}
		// The server reads on, and gets the rest of the request, the batch and the answers.
		var sent bytes.Buffer
		read := make(chan struct{})
		go func() {
			_, _ = io.Copy(&sent, far)
			close(read)
		}()
		synctest.Wait()
		_ = s.Close()
		<-read
		answer := string(appendFrame(nil, framePing, flagAck, 0, make([]byte, 8)...))
		if !strings.Contains(sent.String(), "a batch") || strings.Count(sent.String(), answer) != 2 {
			t.Errorf("sent %q", sent.String())
		}
	})
}

// Each PING leaves an answer in our memory while the server takes no bytes.
func TestAFloodOfPingsEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, res, far := opened(t)
		flooded := make(chan int)
		go func() {
			n := 0
			for ; n < 1<<20; n++ {
				if _, err := far.Write(ping); err != nil {
					break
				}
			}
			flooded <- n
		}()
		_, err := io.ReadAll(res.Body)
		if !errors.Is(err, errFlood) {
			t.Errorf("%v", err)
		}
		_ = s.Close()
		if n := <-flooded; n > 10_000 {
			t.Errorf("%d PINGs were taken", n)
		}
	})
}
