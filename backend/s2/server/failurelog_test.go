package server_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/backend/s2/server"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// A failureLog is a log that the goroutines of a server write.
type failureLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *failureLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *failureLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.b.String()
	l.b.Reset()
	return text
}

// option makes a server use the log.
func (l *failureLog) option(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(l, nil)) }

// wantFailure compares the log with one failure of a request on the stream s.
func (l *failureLog) wantFailure(t *testing.T, method string) {
	t.Helper()
	text := l.take()
	if n := strings.Count(text, "\n"); n != 1 {
		t.Errorf("%d lines, want 1: %s", n, text)
	}
	for _, want := range []string{"level=ERROR", "method=" + method, "basin=" + testBasin, "stream=s ", "s2.db", "damaged"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %q: %s", want, text)
		}
	}
}

// damaged is a server whose file has lost its data while the server runs.
func damaged(t *testing.T) (*peer, *failureLog) {
	t.Helper()
	path, log := keptFile(t), &failureLog{}
	srv, err := s2test.Start(s2test.Data(path), s2test.Basin(testBasin, true), log.option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() }) // the file is damaged
	boltfiletest.Cut(t, path, int64(4*os.Getpagesize()))
	return newPeer(t, srv), log
}

func TestCauseOfAFailureIsLoggedAndNotSent(t *testing.T) {
	p, log := damaged(t)
	for method, query := range map[string]string{"GET": "?seq_num=0", "POST": ""} {
		text := p.want(http.StatusInternalServerError, `"code":"storage"`, method, "/streams/s/records"+query, `{"records":[{}]}`)
		if strings.Contains(text, "s2.db") {
			t.Errorf("the client gets the name of the file: %s", text)
		}
		log.wantFailure(t, method)
	}
}

// The status of a session is sent before the failure, and the connection breaks. Only the log can tell why.
func TestCauseOfABrokenSessionIsLogged(t *testing.T) {
	for method, open := range map[string]func(p *peer) *duplex{
		"GET": func(p *peer) *duplex { return p.readSession("s", "seq_num=0") },
		"POST": func(p *peer) *duplex {
			d := p.appendSession("s")
			d.send(frame(0, pb{}.bytes(1, pb{}.bytes(3, []byte("x")))))
			return d
		},
	} {
		t.Run(method, func(t *testing.T) {
			p, log := damaged(t)
			if f, b, err := open(p).frame(); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("frame %02x %x, %v; want a broken connection", f, b, err)
			}
			log.wantFailure(t, method)
		})
	}
}

func TestCauseOfAFailedEventIsLoggedAndNotSent(t *testing.T) {
	p, log := damaged(t)
	text := p.want(http.StatusOK, `"code":"storage"`, "GET", "/streams/s/records?seq_num=0", "", "accept", "text/event-stream")
	if strings.Contains(text, "s2.db") {
		t.Errorf("the client gets the name of the file: %s", text)
	}
	log.wantFailure(t, "GET")
}

// Faults of tests, refusals, and clients that go away are not failures of the storage.
func TestWhatIsNoFailureOfTheStorageIsNotLogged(t *testing.T) {
	log := &failureLog{}
	p := start(t, log.option)
	p.want(http.StatusNotFound, "basin_not_found", "GET", "/streams/s/records?seq_num=0", "", "s2-basin", "another-basin")
	p.srv.Inject(s2test.Fault{Op: s2test.UnaryAppend, Stage: s2test.Received, Do: s2test.Status(500, "storage")})
	p.want(http.StatusInternalServerError, "injected", "POST", "/streams/s/records", `{"records":[{}]}`)
	d := p.appendSession("s")
	_ = d.in.CloseWithError(errors.New("the client gives up"))
	_, _, _ = d.frame()                   // fails when the stream has ended
	if err := p.srv.Close(); err != nil { // waits for the end of all requests
		t.Fatal(err)
	}
	if text := log.take(); text != "" {
		t.Errorf("logged: %s", text)
	}
}
