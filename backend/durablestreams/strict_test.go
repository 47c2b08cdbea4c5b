package durablestreams_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// strict is a server that does what the protocol says and nothing kinder: a batch that has overtaken others is refused at
// once. It keeps the bodies only where it is told to.
type strict struct {
	keep bool

	mu        sync.Mutex
	producers map[string]*writer // by stream and id
	bodies    []string
	gaps      int // batches that came too early
}

type writer struct{ epoch, last int64 }

func newStrict(keep bool) *strict { return &strict{keep: keep, producers: map[string]*writer{}} }

func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut:
		w.WriteHeader(http.StatusCreated)
	case http.MethodPost:
		s.append(w, r)
	default:
		w.Header().Set("Content-Type", "application/json")
	}
}

func (s *strict) append(w http.ResponseWriter, r *http.Request) {
	var body []byte
	var err error
	if s.keep {
		body, err = io.ReadAll(r.Body)
	} else {
		_, err = io.Copy(io.Discard, r.Body)
	}
	epoch, err1 := strconv.ParseInt(r.Header.Get("Producer-Epoch"), 10, 64)
	seq, err2 := strconv.ParseInt(r.Header.Get("Producer-Seq"), 10, 64)
	if err != nil || err1 != nil || err2 != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.URL.Path + "\n" + r.Header.Get("Producer-Id")
	p := s.producers[key]
	if p == nil {
		p = &writer{epoch: epoch, last: -1}
		s.producers[key] = p
	}
	if epoch > p.epoch && seq == 0 {
		p.epoch, p.last = epoch, -1
	}
	h := w.Header()
	status := http.StatusOK
	switch {
	case epoch != p.epoch:
		h.Set("Producer-Epoch", strconv.FormatInt(p.epoch, 10))
		w.WriteHeader(http.StatusForbidden)
		return
	case seq > p.last+1:
		s.gaps++
		h.Set("Producer-Expected-Seq", strconv.FormatInt(p.last+1, 10))
		h.Set("Producer-Received-Seq", strconv.FormatInt(seq, 10))
		w.WriteHeader(http.StatusConflict)
		return
	case seq <= p.last:
		status = http.StatusNoContent
	default:
		p.last = seq
		if s.keep {
			s.bodies = append(s.bodies, string(body))
		}
	}
	h.Set("Producer-Epoch", strconv.FormatInt(epoch, 10))
	h.Set("Producer-Seq", strconv.FormatInt(p.last, 10))
	w.WriteHeader(status)
}

// wantOnce checks that the server has n batches, in order and once, and how many of them came too early.
func (s *strict) wantOnce(t *testing.T, n, early int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("[%d]", i))
	}
	if !slices.Equal(s.bodies, want) {
		t.Errorf("stored: %d batches, %.300v; want %d in order", len(s.bodies), s.bodies, n)
	}
	if s.gaps > early {
		t.Errorf("%d of %d batches came too early, want %d at most", s.gaps, n, early)
	}
	t.Logf("%d of %d batches came too early", s.gaps, n)
}
