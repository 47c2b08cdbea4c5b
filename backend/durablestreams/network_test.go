package durablestreams_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// A network takes requests to a server in this process, on the clock of a bubble: appends take as long on their way as it is
// told, whatever the order in which they were written.
type network struct {
	server *strict
	way    func(n int) time.Duration                                           // of the n-th append to the server; a millisecond unless given
	fault  func(n int, r *http.Request) (func() (*http.Response, error), bool) // in place of the n-th append
	silent bool                                                                // requests are not said to be written

	mu    sync.Mutex
	posts int
	under int         // appends on their way or answered and on the way back
	most  map[int]int // of those at once, when the n-th began
}

var errNetwork = errors.New("the network is down")

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		return w.Result(), nil
	}
	n.mu.Lock()
	n.posts++
	no := n.posts
	n.under++
	if n.most == nil {
		n.most = map[int]int{}
	}
	n.most[no] = n.under
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.under--
	}()
	if n.fault != nil {
		if answer, ok := n.fault(no, r); ok {
			return answer()
		}
	}
	return n.carry(no, r)
}

// carry takes the n-th append there and its answer back.
func (n *network) carry(no int, r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	n.tell(r, nil)
	way := time.Millisecond
	if n.way != nil {
		way = n.way(no)
	}
	if err := travel(r, way); err != nil {
		return nil, err
	}
	arrived := r.Clone(r.Context())
	arrived.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	n.server.ServeHTTP(w, arrived)
	if err := travel(r, time.Millisecond); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (n *network) tell(r *http.Request, err error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && !n.silent {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

func travel(r *http.Request, d time.Duration) error {
	way := time.NewTimer(d)
	defer way.Stop()
	select {
	case <-way.C:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// peak is how many appends were under way at once, from the n-th on.
func (n *network) peak(from int) (most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for no, m := range n.most {
		if no >= from {
			most = max(most, m)
		}
	}
	return most
}

// over makes a stream that is reached by n.
func (n *network) over(t *testing.T, opts ...durablestreams.Option) *durablestreams.Stream {
	t.Helper()
	n.server = newStrict(true)
	return n.client(t, opts...).Stream("s")
}

func (n *network) client(t *testing.T, opts ...durablestreams.Option) *durablestreams.Client {
	t.Helper()
	opts = append(opts, durablestreams.HTTP(&http.Client{
		Transport: n, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	c, err := durablestreams.New("http://server/v1/stream", opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// replay sends n batches as a producer does, in one session after the other, and returns the last words of those that were lost.
func replay(t *testing.T, a backend.Appender, n int) (lost []error) {
	t.Helper()
	for acked := 0; acked < n; {
		s := open(t, a)
		first := acked
		var sender sync.WaitGroup
		sender.Go(func() {
			for seq := first; seq < n && s.Send(t.Context(), uint64(seq), one(seq)) == nil; seq++ {
			}
		})
		for acked < n {
			ack, err := s.Recv(t.Context())
			if err != nil {
				lost = append(lost, err)
				break
			}
			if ack.Seq != uint64(acked) {
				t.Fatalf("an ack of %d, want %d", ack.Seq, acked)
			}
			acked++
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		sender.Wait()
		if len(lost) > n {
			t.Fatalf("no end of lost sessions: %v", lost[n])
		}
	}
	return lost
}

// bubble runs a test on its own clock.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}
