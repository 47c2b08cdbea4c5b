package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

var errKilled = errors.New("the process was killed")

// A process stands between a relay and everything else. At one point, before or behind a call, it is killed: no later call has an effect.
// Or it freezes: no call returns until it thaws.
type process struct {
	at   int // -1: never
	thaw chan struct{}
	kill context.CancelFunc // ends what is under way; set by run

	loses func() bool // whether a call, or the reply to it, is lost; nil: none

	mu      sync.Mutex
	n       int
	reached chan struct{} // closed at the point
}

func newProcess(at int, freezes bool) *process {
	p := &process{at: at, reached: make(chan struct{})}
	if freezes {
		p.thaw = make(chan struct{})
	}
	return p
}

func (p *process) point() error {
	p.mu.Lock()
	n := p.n
	p.n++
	p.mu.Unlock()
	if p.at < 0 || n < p.at {
		return nil
	}
	if n == p.at {
		close(p.reached)
	}
	if p.thaw == nil {
		p.kill()
		return errKilled
	}
	<-p.thaw
	return nil
}

func (p *process) points() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// around calls f between two points.
func around[R any](p *process, f func() (R, error)) (R, error) {
	var none R
	if err := p.point(); err != nil {
		return none, err
	}
	r, err := f()
	if killed := p.point(); killed != nil {
		return none, killed
	}
	return r, err
}

// risky is around for calls that may be lost, or whose replies may be. A session that loses one must end and say so in Recv, so those of
// the target's sessions are not such.
func risky[R any](p *process, f func() (R, error)) (R, error) {
	return around(p, func() (r R, err error) {
		if p.lost() {
			return r, fmt.Errorf("a call is lost: %w", backend.ErrTransient)
		}
		if r, err = f(); err == nil && p.lost() {
			err = fmt.Errorf("a reply is lost: %w", backend.ErrIndeterminate)
		}
		return r, err
	})
}

func (p *process) lost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loses != nil && p.loses()
}

type itsStore struct {
	checkpoint.Store
	p *process
}

func (s itsStore) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	return risky(s.p, func() (checkpoint.Checkpoint, error) { return s.Store.Claim(ctx, key) })
}

func (s itsStore) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	_, err := risky(s.p, func() (int, error) { return 0, s.Store.Save(ctx, key, cp) })
	return err
}

type itsSource struct {
	backend.Source
	p *process
}

func (s itsSource) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := around(s.p, func() (backend.Reader, error) { return s.Source.OpenReader(ctx, from) })
	if err != nil {
		return nil, err
	}
	return itsReader{r, s.p}, nil
}

type itsReader struct {
	backend.Reader
	p *process
}

func (r itsReader) Read(ctx context.Context) (backend.Batch, error) {
	return risky(r.p, func() (backend.Batch, error) { return r.Reader.Read(ctx) })
}

// itsTarget has small batches, so that a round has several.
type itsTarget struct {
	backend.Resumer
	p *process
}

func (t itsTarget) NewAppender(f backend.Format) backend.Appender {
	return itsAppender{t.Resumer.NewAppender(f), t.p}
}

func (t itsTarget) Resume(ctx context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	var origin string
	a, err := risky(t.p, func() (a backend.Appender, err error) {
		a, origin, err = t.Resumer.Resume(ctx, f, from)
		return a, err
	})
	if err != nil {
		return nil, "", err
	}
	return itsAppender{a, t.p}, origin, nil
}

type itsAppender struct {
	backend.Appender
	p *process
}

func (a itsAppender) Limits() backend.Limits {
	l := a.Appender.Limits()
	l.BatchRecords, l.InFlight = 3, 4
	return l
}

func (a itsAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := around(a.p, func() (backend.Session, error) { return a.Appender.Open(ctx) })
	if err != nil {
		return nil, err
	}
	return itsSession{s, a.p}, nil
}

type itsSession struct {
	backend.Session
	p *process
}

func (s itsSession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	_, err := around(s.p, func() (int, error) { return 0, s.Session.Send(ctx, seq, recs) })
	return err
}

func (s itsSession) Recv(ctx context.Context) (backend.Ack, error) {
	return around(s.p, func() (backend.Ack, error) { return s.Session.Recv(ctx) })
}
