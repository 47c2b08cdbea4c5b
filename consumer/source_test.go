package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// A prepared source returns the same batches to every reader, without work of its own.
type prepared []backend.Batch

func (p prepared) OpenReader(context.Context, backend.Offset) (backend.Reader, error) {
	return &preparedReader{p}, nil
}

type preparedReader struct{ left prepared }

func (r *preparedReader) Read(context.Context) (backend.Batch, error) {
	if len(r.left) == 0 {
		return backend.Batch{}, io.EOF
	}
	b := r.left[0]
	r.left = r.left[1:]
	return b, nil
}

func (r *preparedReader) Close() error { return nil }

// A script is a source whose records are the numbers from 0 on, as text, at the offsets "0", "1", … It follows steps:
// each reader plays the steps that are left from the place it was opened at, and what it is told to break, breaks.
type script struct {
	mu     sync.Mutex
	steps  []step
	opened []backend.Offset // what OpenReader was given
	at     int              // next step
	closed int              // readers closed
	more   chan struct{}    // closed by add
}

// A step is what one call meets. The zero step is an empty batch that moves nothing.
type step struct {
	open     error // OpenReader fails with it; other steps wait for a Read
	read     error // Read fails with it
	from, to int   // records to return, from inclusive to exclusive
	values   []string
	next     backend.Offset // "": behind the records
	caughtUp bool
	wait     time.Duration // before the answer
	hang     bool          // until the ctx or Close
	headers  backend.Headers
}

func newScript(steps ...step) *script { return &script{steps: steps, more: make(chan struct{})} }

// recs is the step that returns the records from from to to.
func recs(from, to int) step { return step{from: from, to: to} }

// add plays further steps.
func (s *script) add(steps ...step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, steps...)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *script) opens() []backend.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]backend.Offset(nil), s.opened...)
}

// next takes the next step; nil while there is none.
func (s *script) next(open bool) (*step, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == len(s.steps) || open && s.steps[s.at].open == nil {
		return nil, s.more
	}
	s.at++
	return &s.steps[s.at-1], nil
}

// tail is the place behind what the steps hold up to the first that says it has caught up. A reader that is opened at
// Latest after the first step is told this and plays no step.
func (s *script) tail() backend.Offset {
	at := offset(0)
	for i := range s.steps {
		if next := s.steps[i].batch().Next; next != "" {
			at = next
		}
		if s.steps[i].caughtUp {
			break
		}
	}
	return at
}

func (s *script) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if from == "" {
		return nil, errors.New("script: opened at no place")
	}
	s.mu.Lock()
	if from == backend.Latest && s.at > 0 {
		defer s.mu.Unlock()
		return prepared{{Next: s.tail(), CaughtUp: true}}.OpenReader(ctx, from)
	}
	s.opened = append(s.opened, from)
	s.mu.Unlock()
	if st, _ := s.next(true); st != nil {
		return nil, st.open
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &scriptReader{script: s, done: make(chan struct{})}, nil
}

type scriptReader struct {
	script *script
	once   sync.Once
	done   chan struct{}
}

func (r *scriptReader) Read(ctx context.Context) (backend.Batch, error) {
	for {
		st, more := r.script.next(false)
		if st == nil || st.hang {
			select {
			case <-more:
				continue
			case <-ctx.Done():
				return backend.Batch{}, ctx.Err()
			case <-r.done:
				return backend.Batch{}, backend.ErrClosed
			}
		}
		if st.wait > 0 {
			select {
			case <-time.After(st.wait):
			case <-ctx.Done():
				return backend.Batch{}, ctx.Err()
			}
		}
		if st.open != nil {
			return backend.Batch{}, fmt.Errorf("script: a read where an opening was to fail")
		}
		return st.batch(), st.read
	}
}

func (st *step) batch() backend.Batch {
	b := backend.Batch{Next: st.next, CaughtUp: st.caughtUp}
	for i := st.from; i < st.to; i++ {
		v := strconv.Itoa(i)
		if k := i - st.from; k < len(st.values) {
			v = st.values[k]
		}
		b.Records = append(b.Records, backend.Record{
			Value: []byte(v), Headers: st.headers, Offset: offset(i), Next: offset(i + 1),
		})
	}
	if b.Next == "" && st.to > 0 {
		b.Next = offset(st.to)
	}
	// Who looks at the slice after Free gets wrong records.
	recs := b.Records
	b.Free = func() {
		for i := range recs {
			recs[i] = backend.Record{Value: []byte("bad: looked at after Free"), Offset: "after Free", Next: "after Free"}
		}
	}
	return b
}

func (r *scriptReader) Close() error {
	r.once.Do(func() {
		close(r.done)
		r.script.mu.Lock()
		r.script.closed++
		r.script.mu.Unlock()
	})
	return nil
}

func offset(i int) backend.Offset { return backend.Offset(strconv.Itoa(i)) }

var errLost = fmt.Errorf("script: connection lost: %w", backend.ErrTransient)

// numbers decodes what a script returns, and refuses values that begin with "bad".
func decodeNumber(src []byte) (int, error) {
	if strings.HasPrefix(string(src), "bad") {
		return 0, errBad
	}
	return strconv.Atoi(string(src))
}

var errBad = errors.New("bad number")
