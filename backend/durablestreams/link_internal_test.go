package durablestreams

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
)

// connected returns the two ends of a TCP connection.
func connected(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

// A request on a connection that the server has closed would end a session, and the batch would be in doubt.
func TestLinkOnWhichSomethingHasComeIsNotTakenAgain(t *testing.T) {
	if !canTellIdle {
		t.Skip("nobody can look at an idle connection on this system, and there are no links")
	}
	for name, come := range map[string]func(net.Conn){
		"the end":      func(theirs net.Conn) { _ = theirs.Close() },
		"a byte":       func(theirs net.Conn) { _, _ = theirs.Write([]byte("x")) },
		"a reset":      func(theirs net.Conn) { _ = theirs.(*net.TCPConn).SetLinger(0); _ = theirs.Close() },
		"nothing come": nil,
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := connected(t)
			l, idle := newLink(ours, ours), new(links)
			defer idle.close()
			// The deadline of an answer that came in time passes while the link is idle.
			_ = ours.SetReadDeadline(time.Unix(1, 0))
			idle.put(l)
			if come != nil {
				come(theirs)
				for stillIdle(ours) {
					runtime.Gosched()
				}
				// The loop has taken the byte away, so more follows for the look of take.
				_, _ = theirs.Write([]byte("x"))
				_ = theirs.Close()
				for stillIdle(ours) {
					runtime.Gosched()
				}
			}
			if taken := idle.take(); (taken == l) != (come == nil) {
				t.Errorf("taken: %v", taken == l)
			}
			if idle.take() != nil {
				t.Error("a link was taken twice")
			}
		})
	}
}

func TestIdleLinksAreClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := new(links)
		closed := func(theirs net.Conn) bool {
			_ = theirs.SetReadDeadline(time.Now())
			_, err := theirs.Read(make([]byte, 1))
			return err == io.EOF
		}
		put := func() net.Conn {
			ours, theirs := net.Pipe()
			idle.put(newLink(ours, ours))
			return theirs
		}
		early := put()
		time.Sleep(idleTimeout / 2)
		late := put()
		time.Sleep(idleTimeout / 2)
		synctest.Wait()
		if !closed(early) || closed(late) {
			t.Errorf("after %v: closed are %v and %v, want the first one only", idleTimeout, closed(early), closed(late))
		}
		time.Sleep(idleTimeout / 2)
		synctest.Wait()
		if !closed(late) {
			t.Error("the second link is still open")
		}
		for range mostIdle {
			put()
		}
		if !closed(put()) {
			t.Errorf("more than %d links are kept", mostIdle)
		}
		idle.close()
	})
}

// Where links cannot do what net/http does, net/http makes the appends.
func TestLinksReachOnlyPlainServers(t *testing.T) {
	for base, want := range map[string]bool{
		"http://127.0.0.1:1": canTellIdle, "https://server/v1": canTellIdle, "http://[::1]:1/": canTellIdle,
		"http://bücher.example": false, "http://[fe80::1%25eth0]:1": false,
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		if got := linksReach(u); got != want {
			t.Errorf("%s: %v", base, got)
		}
	}
	c, err := New("http://127.0.0.1:1", HTTP(new(http.Client)))
	if err != nil || c.links != nil {
		t.Errorf("links beside a caller's http.Client: %v", err)
	}
}

func TestServersWithTLSAreReachedByTheirProtocol(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		appends := make(chan string, 1)
		h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			if r.Method == http.MethodPost {
				body, _ := io.ReadAll(r.Body)
				appends <- r.Proto + " " + string(body)
				w.Header().Set("Producer-Seq", r.Header.Get("Producer-Seq"))
			}
		}))
		h.EnableHTTP2 = h2
		h.StartTLS()
		c, err := New(h.URL, TLS(h.Client().Transport.(*http.Transport).TLSClientConfig))
		if err != nil {
			t.Fatal(err)
		}
		a := c.Stream("s").newAppender(encodingOf(backend.Format{ContentType: jsonType}))
		s, err := backend.Pipelined("s", a).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a.direct != (canTellIdle && !h2) {
			t.Errorf("HTTP/2 %v: links %v", h2, a.direct)
		}
		want := map[bool]string{false: "HTTP/1.1 [1]", true: "HTTP/2.0 [1]"}[h2]
		for seq := range uint64(3) {
			if err := s.Send(t.Context(), seq, []backend.Record{{Value: []byte("1")}}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := <-appends; got != want {
				t.Errorf("the server got %s, want %s", got, want)
			}
		}
		_, _ = s.Close(), c.Close()
		h.Client().CloseIdleConnections()
		h.Close()
	}
}

// A played connection gives bytes and takes all that is written.
type played struct {
	net.Conn
	io.Reader
	read int
}

func (p *played) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read += n
	return n, err
}

func answerTo(bytesOfServer io.Reader) (l *link, resp *http.Response, body []byte, err error) {
	conn := &played{Reader: bytesOfServer}
	l = newLink(conn, conn)
	if resp, err = l.answer(&http.Request{Method: http.MethodPost}); err == nil {
		body, _ = io.ReadAll(resp.Body)
	}
	return l, resp, body, err
}

func TestAnswersOnALink(t *testing.T) {
	long := strings.Repeat("x", bodyOfLink)
	for name, test := range map[string]struct {
		answer string
		status int // 0: no answer
		usable bool
	}{
		"204":                   {"HTTP/1.1 204 No Content\r\n\r\n", 204, true},
		"with a length":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, true},
		"chunked":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, true},
		"behind interim":        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, true},
		"interim without end":   {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100), 0, false},
		"another protocol":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, false},
		"closed behind it":      {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, false},
		"HTTP/1.0":              {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, false},
		"until the end":         {"HTTP/1.1 200 OK\r\n\r\nok", 200, false},
		"too short":             {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 200, false},
		"too long":              {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, false},
		"a body without bound":  {"HTTP/1.1 200 OK\r\n\r\n" + long + long, 200, false},
		"headers without bound": {"HTTP/1.1 200 OK\r\nA: " + long, 0, false},
		"cut off":               {"HTTP/1.1 200 OK\r\nA: ", 0, false},
		"another language":      {"SSH-2.0-OpenSSH\r\n", 0, false},
		"nothing":               {"", 0, false},
	} {
		l, resp, _, err := answerTo(strings.NewReader(test.answer))
		switch {
		case test.status == 0 && err == nil, test.status != 0 && (err != nil || resp.StatusCode != test.status):
			t.Errorf("%s: %v, want status %d", name, err, test.status)
		case err == nil && l.usable(resp) != test.usable:
			t.Errorf("%s: usable for another request %v, want %v", name, !test.usable, test.usable)
		}
	}
}

// Whatever a server sends, a link reads a bounded number of bytes, and the next request follows only where nothing is left of the
// answer.
func FuzzAnswerOnALink(f *testing.F) {
	f.Add([]byte("HTTP/1.1 204 No Content\r\nProducer-Seq: 1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		// The server goes on with its last bytes for ever.
		endless := io.MultiReader(bytes.NewReader(answer), repeat(answer))
		l, resp, body, err := answerTo(endless)
		if read := l.conn.(*played).read; read > (mostInterim+1)*maxHeader+bodyOfLink {
			t.Errorf("%d bytes were read", read)
		}
		if err != nil {
			return
		}
		if len(body) > bodyOfLink+linkBuffer { // a part may have come with the headers
			t.Errorf("a body of %d bytes", len(body))
		}
		if l.usable(resp) && l.answers.Buffered() > 0 {
			t.Error("a request would follow in front of bytes of the last answer")
		}
	})
}

type repeat []byte

func (r repeat) Read(p []byte) (int, error) {
	if len(r) == 0 {
		return 0, io.EOF
	}
	return copy(p, r), nil
}

// The head of a request says what net/http would say.
func TestHeadIsReadAsNetHTTPWritesIt(t *testing.T) {
	u, _ := url.Parse("http://user:secret@server:1/v1/a%20b?x=1&y=%2F")
	req := &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: http.Header{
		"User-Agent": {"headrace"}, "Producer-Seq": {"7"}, "Host": {"elsewhere"}, "Content-Length": {"9"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"X"},
	}}
	got, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(headOf(req, 3)), strings.NewReader("abc"))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	user, password, _ := got.BasicAuth()
	if err != nil || string(body) != "abc" || got.ContentLength != 3 || got.Host != "server:1" || got.RequestURI != "/v1/a%20b?x=1&y=%2F" ||
		user != "user" || password != "secret" || got.Header.Get("Producer-Seq") != "7" || got.Header.Get("User-Agent") != "headrace" || len(got.Header) != 4 {
		t.Errorf("%q %v %+v, %v", body, err, got, got.Header)
	}
}
