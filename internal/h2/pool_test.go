package h2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A peer is the server's end of a connection. It only notes what the client sends.
type peer struct {
	net.Conn
	mu     sync.Mutex
	sent   [][]byte // frames of the client
	closed bool     // by the client
}

func (p *peer) run() {
	first := make([]byte, len(preface))
	if _, err := io.ReadFull(p, first); err != nil || string(first) != preface {
		p.Close()
	}
	for {
		frame := make([]byte, headBytes)
		_, err := io.ReadFull(p, frame)
		if err == nil {
			frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame)>>8)...)
			_, err = io.ReadFull(p, frame[headBytes:])
		}
		p.mu.Lock()
		if err != nil {
			p.closed = true
			p.mu.Unlock()
			return
		}
		p.sent = append(p.sent, frame)
		p.mu.Unlock()
	}
}

// say sends frames, and returns when the client has nothing to do any more.
func (p *peer) say(frames ...[]byte) {
	_, _ = p.Write(bytes.Join(frames, nil)) // fails when the client has closed the connection, as many tests want
	synctest.Wait()
}

// streams returns the streams of all frames of a type, in order.
func (p *peer) streams(typ frameType) (numbers []uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.sent {
		if frameType(f[3]) == typ {
			numbers = append(numbers, binary.BigEndian.Uint32(f[5:]))
		}
	}
	return numbers
}

// A host is a server that tests play.
type host struct {
	pool    *Pool
	peers   []*peer
	refuse  bool
	refused int
}

const pingAfter = 15 * time.Second

// hosted runs a test on a fake clock, with a pool whose connections reach the host.
func hosted(t *testing.T, test func(t *testing.T, h *host)) {
	synctest.Test(t, func(t *testing.T) {
		h := new(host)
		h.pool = NewPool(&http.Transport{IdleConnTimeout: time.Minute, DialContext: func(context.Context, string, string) (net.Conn, error) {
			if h.refuse {
				h.refused++
				return nil, errors.New("refused")
			}
			client, server := net.Pipe()
			p := &peer{Conn: server}
			h.peers = append(h.peers, p)
			go p.run()
			return client, nil
		}}, 10*time.Second, pingAfter)
		test(t, h)
		for _, p := range h.peers {
			p.Close()
		}
	})
}

// A hearer notes what it hears, and gives the request up when it hears enough.
type hearer struct {
	request *Waiting
	mu      sync.Mutex
	data    string
	enough  string
	ended   error
	lost    bool
}

func (h *hearer) Data(p []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.data += string(p)
	return h.enough == "" || h.data != h.enough
}

func (h *hearer) Ended(err error, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended != nil {
		panic("ended twice")
	}
	h.ended, h.lost = err, lost
}

// is compares what the hearer has heard with a text. The text ends with ", ended" or ", lost" if the request has ended.
func (h *hearer) is(t *testing.T, want string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	got := h.data
	switch {
	case h.lost:
		got += ", lost"
	case h.ended != nil:
		got += ", ended"
	}
	if got != want {
		t.Errorf("heard %q, %v; want %q", got, h.ended, want)
	}
}

func (h *host) request(enough string) *hearer {
	l := &hearer{enough: enough}
	l.request = h.pool.Start(func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, "http://s2.test/records", nil)
	}, l)
	synctest.Wait()
	return l
}

// begin starts n requests on a new connection to a server that allows as many.
func (h *host) begin(n int) (p *peer, all []*hearer) {
	all = append(all, h.request(""))
	p = h.peers[len(h.peers)-1]
	p.say(setting(settingMostStreams, uint32(n)))
	for range n - 1 {
		all = append(all, h.request(""))
	}
	for i := range all {
		p.say(answer(uint32(2*i + 1)))
	}
	return p, all
}

// answer is the beginning of a response: ":status: 200".
func answer(stream uint32) []byte {
	return appendFrame(nil, frameHeaders, flagEndHeaders, stream, 0x88)
}

func body(stream uint32, f flags, s string) []byte {
	return appendFrame(nil, frameData, f, stream, []byte(s)...)
}

func TestManyRequestsShareAsFewConnectionsAsTheServerAllows(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		const n = 7
		var all []*hearer
		for range n {
			all = append(all, h.request(""))
			for _, p := range h.peers {
				if p.streams(frameHeaders) == nil {
					p.say(setting(settingMostStreams, 3))
				}
			}
		}
		if len(h.peers) != 3 {
			t.Fatalf("%d connections, want 3", len(h.peers))
		}
		for i, l := range all {
			p, number := h.peers[i/3], uint32(2*(i%3)+1)
			p.say(answer(number), body(number, 0, fmt.Sprint(i)))
			l.is(t, fmt.Sprint(i))
		}
		for i, p := range h.peers {
			if got, want := p.streams(frameHeaders), []uint32{1, 3, 5}[:min(3, n-3*i)]; !slices.Equal(got, want) {
				t.Errorf("connection %d has the requests %v, want %v", i, got, want)
			}
		}
		// The place of a request that is over is free again.
		all[4].request.Stop()
		synctest.Wait()
		h.request("")
		h.request("")
		if got := h.peers[1].streams(frameHeaders); len(h.peers) != 3 || !slices.Equal(got, []uint32{1, 3, 5, 7}) {
			t.Errorf("%d connections, and %v on the one with room", len(h.peers), got)
		}
	})
}

// Requests that start while the first connection is being made use this connection.
func TestRequestsOfOneMomentNeedOneConnection(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		var all []*hearer
		for range 5 {
			all = append(all, h.request(""))
		}
		all[3].request.Stop()
		h.peers[0].say(setting(settingMaxFrame, 1<<20))
		if got := h.peers[0].streams(frameHeaders); len(h.peers) != 1 || len(got) != 4 {
			t.Errorf("%d connections, the first one with the requests %v", len(h.peers), got)
		}
	})
}

func TestRequestThatIsGivenUpIsResetBehindItsBeginning(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		enough := h.request("enough")
		p := h.peers[0]
		p.say(setting(settingMostStreams, 10))
		stopped, goesOn := h.request(""), h.request("")
		p.say(answer(1), answer(3), answer(5), body(1, 0, "enou"), body(3, 0, "x"), body(1, 0, "gh"), body(1, 0, "too much"))
		stopped.request.Stop()
		stopped.request.Stop()
		p.say(body(3, flagEndStream, "too late"), body(5, 0, "and on"))
		enough.is(t, "enough")
		stopped.is(t, "x")
		goesOn.is(t, "and on")
		if got := p.streams(frameResetStream); !slices.Equal(got, []uint32{1, 3}) {
			t.Errorf("the requests %v were reset, want 1 and 3", got)
		}
	})
}

func TestEndOfARequestIsToldOnce(t *testing.T) {
	for name, c := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"with data":         {[][]byte{answer(1), body(1, flagEndStream, "x")}, "x, ended"},
		"behind data":       {[][]byte{answer(1), body(1, 0, "x"), body(1, flagEndStream, "")}, "x, ended"},
		"without data":      {[][]byte{appendFrame(nil, frameHeaders, flagEndHeaders|flagEndStream, 1, 0x88)}, ", ended"},
		"trailer":           {[][]byte{answer(1), body(1, 0, "x"), appendFrame(nil, frameHeaders, flagEndStream, 1), appendFrame(nil, frameContinuation, flagEndHeaders, 1)}, "x, ended"},
		"reset":             {[][]byte{answer(1), number(frameResetStream, 1, 2)}, ", ended"},
		"twice":             {[][]byte{answer(1), body(1, flagEndStream, "x"), number(frameResetStream, 1, 2)}, "x, ended"},
		"leaving":           {[][]byte{answer(1), body(1, 0, "x"), number(frameGoAway, 0, 1<<31-1, 0)}, "x, lost"},
		"given up":          {[][]byte{answer(1), number(frameGoAway, 0, 1, 11)}, ", lost"},
		"push":              {[][]byte{answer(1), appendFrame(nil, framePush, flagEndHeaders, 1, 0, 0, 0, 2)}, ", lost"},
		"no HTTP/2":         {[][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, ", lost"},
		"too much padding":  {[][]byte{answer(1), appendFrame(nil, frameData, flagPadded, 1, 9, 'x')}, ", lost"},
		"broken settings":   {[][]byte{answer(1), appendFrame(nil, frameSettings, 0, 0, 1)}, ", lost"},
		"padding":           {[][]byte{answer(1), appendFrame(nil, frameData, flagPadded, 1, []byte("\x03x...")...)}, "x"},
		"other frames":      {[][]byte{answer(1), body(1, 0, ""), appendFrame(nil, 0x55, 0, 7, '?'), number(frameWindowUpdate, 0, 10), body(1, 0, "x")}, "x"},
		"somebody else's":   {[][]byte{answer(1), body(9, 0, "y"), number(frameResetStream, 9, 1)}, ""},
		"fewer are allowed": {[][]byte{answer(1), setting(settingMostStreams, 0), body(1, 0, "x")}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			hosted(t, func(t *testing.T, h *host) {
				p, all := h.begin(1)
				p.say(c.frames...)
				all[0].is(t, c.want)
				p.Close()
				synctest.Wait()
				if !bytes.Contains([]byte(c.want), []byte(", ")) {
					c.want += ", lost"
				}
				all[0].is(t, c.want)
				if len(h.pool.shared) > 0 {
					t.Error("the pool keeps a connection that has ended")
				}
			})
		})
	}
}

// A connection that says nothing is asked for a sign of life, and then lost with all its requests.
func TestSilentConnectionLosesItsRequests(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		p, all := h.begin(3)
		for range 5 {
			time.Sleep(pingAfter)
			synctest.Wait()
			p.say(appendFrame(nil, framePing, flagAck, 0, make([]byte, 8)...))
		}
		all[0].is(t, "")
		if got := p.streams(framePing); len(got) != 5 {
			t.Errorf("%d pings in five times %v, want 5", len(got), pingAfter)
		}
		time.Sleep(2*pingAfter + time.Second)
		synctest.Wait()
		for _, l := range all {
			l.is(t, ", lost")
		}
		if h.request(""); len(h.peers) != 2 {
			t.Error("the next request has no new connection")
		}
	})
}

func TestServerPingIsAnswered(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		p, _ := h.begin(1)
		p.say(appendFrame(nil, framePing, 0, 0, []byte("12345678")...))
		if got := p.sent[len(p.sent)-1]; !bytes.Equal(got, appendFrame(nil, framePing, flagAck, 0, []byte("12345678")...)) {
			t.Errorf("the last frame is %q", got)
		}
	})
}

// For hours of heartbeats, the server never lacks room.
func TestServerGetsItsRoomBack(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		p, _ := h.begin(2)
		const size = 100
		left := map[uint32]int{0: firstWindow, 1: waitingWindow, 3: waitingWindow}
		seen := 0
		for i := range 5000 {
			number := uint32(2*(i%2) + 1)
			left[0], left[number] = left[0]-size, left[number]-size
			if left[0] < 0 || left[number] < 0 {
				t.Fatalf("frame %d has no room: %v", i, left)
			}
			p.say(body(number, 0, string(make([]byte, size))))
			for ; seen < len(p.sent); seen++ {
				if f := p.sent[seen]; frameType(f[3]) == frameWindowUpdate {
					left[binary.BigEndian.Uint32(f[5:])] += int(binary.BigEndian.Uint32(f[headBytes:]))
				}
			}
		}
	})
}

func TestRequestsOfAServerThatRefusesConnectionsAreLostWithoutFurtherAttempts(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		h.refuse = true
		for range 10 {
			h.request("").is(t, ", lost")
		}
		if h.refused != 1 {
			t.Errorf("%d attempts, want 1", h.refused)
		}
		for range 1000 {
			time.Sleep(firstPause)
			h.request("").is(t, ", lost")
		}
		if h.refused < 15 || h.refused > 25 {
			t.Errorf("%d attempts in 1000 s, want one a minute", h.refused)
		}
		h.refuse = false
		time.Sleep(mostPause)
		if h.request("").is(t, ""); len(h.peers) != 1 {
			t.Error("no attempt after the pause")
		}
	})
}

func TestServerThatAllowsNoRequestsIsLeftAlone(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		l := h.request("")
		h.peers[0].say(setting(settingMostStreams, 0))
		l.is(t, ", lost")
		h.request("").is(t, ", lost")
		if len(h.peers) != 1 || !h.peers[0].closed {
			t.Errorf("%d connections, want one, and closed", len(h.peers))
		}
	})
}

// A server that accepts connections and says nothing, or does not speak HTTP/2, does not hold up the queue for ever.
func TestGreetingWithoutAnAnswerEndsInTime(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		l := h.request("")
		time.Sleep(10*time.Second + time.Nanosecond)
		synctest.Wait()
		l.is(t, ", lost")
	})
	hosted(t, func(t *testing.T, h *host) {
		l := h.request("")
		h.peers[0].say([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		l.is(t, ", lost")
	})
}

func TestConnectionWithoutRequestsIsKeptForAWhile(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		p, all := h.begin(2)
		all[0].request.Stop()
		all[1].request.Stop()
		time.Sleep(59 * time.Second / 5)
		next := h.request("") // uses the connection
		if got := p.streams(frameHeaders); len(h.peers) != 1 || len(got) != 3 {
			t.Fatalf("%d connections and the requests %v", len(h.peers), got)
		}
		next.request.Stop()
		for range 6 {
			p.say(appendFrame(nil, framePing, flagAck, 0, make([]byte, 8)...))
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if !p.closed {
			t.Error("the connection is open after a minute without requests")
		}
		h.request("")
		if len(h.peers) != 2 {
			t.Error("the next request has no new connection")
		}
	})
}

func TestConnectionsOfAClosedPoolCloseWithTheirLastRequest(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		p, all := h.begin(2)
		h.pool.Close()
		all[0].request.Stop()
		synctest.Wait()
		if p.closed {
			t.Fatal("a connection with a request was closed")
		}
		p.say(body(3, flagEndStream, "x"))
		all[1].is(t, "x, ended")
		if !p.closed {
			t.Error("the connection is open without a request")
		}
	})
}

func TestRequestThatCannotBeMadeIsLost(t *testing.T) {
	hosted(t, func(t *testing.T, h *host) {
		l := new(hearer)
		h.pool.Start(func(context.Context) (*http.Request, error) { return nil, errors.New("no token") }, l)
		synctest.Wait()
		l.is(t, ", lost")
		l = new(hearer)
		h.begin(2)
		h.pool.Start(func(ctx context.Context) (*http.Request, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://s2.test/", nil)
			if err == nil {
				req.Header.Set("Much", string(make([]byte, leastMaxFrame)))
			}
			return req, err
		}, l)
		synctest.Wait()
		l.is(t, ", lost")
	})
}

// FuzzShared: whatever the server sends, nothing panics or hangs, and each request ends.
func FuzzShared(f *testing.F) {
	f.Add(bytes.Join([][]byte{answer(1), body(1, 0, "hel"), number(frameWindowUpdate, 1, 10), body(1, flagEndStream, "lo")}, nil))
	f.Add(bytes.Join([][]byte{answer(3), number(frameResetStream, 3, 8), setting(settingMostStreams, 1), number(frameGoAway, 0, 1, 0)}, nil))
	f.Add(bytes.Join([][]byte{appendFrame(nil, frameHeaders, flagPadded, 1, 7, 0x88), appendFrame(nil, frameData, flagPadded, 1, 9, 'x')}, nil))
	f.Fuzz(func(t *testing.T, said []byte) {
		p := &Pool{connections: new(http.Transport)}
		conn := new(script)
		conn.in.Reset(said)
		c := newShared(p, conn)
		var all [2]hearer
		for i := range all {
			req, err := http.NewRequest(http.MethodGet, "http://s2.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			w := &Waiting{pool: p, listener: &all[i]}
			if sent, err := c.start(w, req); !sent || err != nil {
				t.Fatal(err)
			}
			all[i].request = w
		}
		c.run()
		for i := range all {
			if all[i].ended == nil || len(all[i].data) > len(said) {
				t.Errorf("request %d has heard %d bytes and %v", i, len(all[i].data), all[i].ended)
			}
		}
	})
}
