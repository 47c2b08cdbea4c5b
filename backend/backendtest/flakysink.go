package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A FlakySink is a [backend.Sink] in front of another one, on which things go wrong as told:
//
//	sink := backendtest.NewFlakySink(memory.New(),
//		backendtest.Nth(backendtest.OnOpen, 1, backendtest.Fail(backend.ErrTransient)),
//		backendtest.Nth(backendtest.OnSend, 3, backendtest.DropAfter(nil)), // stored, but the ack is lost
//		backendtest.Rotate(100),                                           // sessions end after 100 batches
//		backendtest.RefuseNamed(isBad, backend.ErrRejected),
//		backendtest.Random(seed, 0.05),
//	)
//	p, err := producer.New(ctx, sink, codec.JSON[Order]())
//
// It keeps the contract itself as strictly as [backend.Session] states it: a gap in seq, a seq acknowledged before or
// an opening while the previous session is not closed is an error, so that a producer's mistakes come to light. It may
// be used inside a synctest bubble if the sink below may.
type FlakySink struct {
	// Dedup makes it a store that knows a resend by its seq: the resend is acknowledged in its turn and not stored again,
	// whether or not the sink below can do that. Without it each session stores what it is sent, as a store does that
	// keeps no seq. Set it before the first opening.
	Dedup bool

	*script
	sink backend.Sink
	live live[*flakySession]
}

// NewFlakySink puts faults in front of sink.
func NewFlakySink(sink backend.Sink, faults ...Fault) *FlakySink {
	return &FlakySink{script: newScript(faults), sink: sink}
}

// NewAppender makes one producer's way in.
func (f *FlakySink) NewAppender(format backend.Format) backend.Appender {
	return &flakyAppender{flaky: f, format: format, below: f.sink.NewAppender(format)}
}

// Break drops all connections there are at this moment: acks that Recv has not returned yet are lost, and it says err
// next (nil as for [DropAfter]). Batches that were taken are still stored.
func (f *FlakySink) Break(err error) {
	for _, s := range f.live.all() {
		s.breakNow(f.lost("connection", err))
	}
}

// lost makes the error of a batch that may be stored.
func (f *FlakySink) lost(op string, err error) error {
	if err == nil {
		err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, io.ErrUnexpectedEOF)
		if f.Dedup {
			err = fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
	}
	return injected(op, err)
}

// refused makes the error of something that was not taken.
func refused(op string, err error) error {
	if err == nil {
		err = fmt.Errorf("%w: %w", backend.ErrTransient, io.ErrUnexpectedEOF)
	}
	return injected(op, err)
}

func injected(op string, err error) error {
	return fmt.Errorf("flaky: %s: %w (%w)", op, err, ErrInjected)
}

// live is the set of sessions that Break ends.
type live[S comparable] struct {
	mu   sync.Mutex
	set  map[S]struct{}
	made int
}

func (l *live[S]) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	return l.made
}

func (l *live[S]) add(s S) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == nil {
		l.set = make(map[S]struct{})
	}
	l.set[s] = struct{}{}
}

func (l *live[S]) remove(s S) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.set, s)
}

func (l *live[S]) all() []S {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []S
	for s := range l.set {
		all = append(all, s)
	}
	return all
}

// flakyAppender gives its seqs to the sink below in one of two ways. With Dedup they are the same, over one Appender
// below. Without, each session has an Appender of its own below and counts from 0 there, or else the sink below could
// recognize a resend.
type flakyAppender struct {
	flaky  *FlakySink
	format backend.Format

	mu     sync.Mutex
	below  backend.Appender
	opened bool // below was used
	busy   bool // a session is not closed
	acked  uint64
	stored uint64                 // seqs below it are durable, whether or not anybody was told
	acks   map[uint64]backend.Ack // those not told, with Dedup
}

func (a *flakyAppender) Limits() backend.Limits {
	a.mu.Lock()
	below := a.below
	a.mu.Unlock()
	return below.Limits()
}

var errStillOpen = errors.New("flaky: open: the previous session is not closed")

func (a *flakyAppender) Open(ctx context.Context) (backend.Session, error) {
	a.mu.Lock()
	if a.busy {
		a.mu.Unlock()
		return nil, errStillOpen
	}
	a.busy = true
	if a.opened && !a.flaky.Dedup {
		a.below = a.flaky.sink.NewAppender(a.format)
	}
	a.opened = true
	below := a.below
	a.mu.Unlock()

	s, err := a.open(ctx, below)
	if err != nil {
		a.mu.Lock()
		a.busy = false
		a.mu.Unlock()
		return nil, err
	}
	return s, nil
}

func (a *flakyAppender) open(ctx context.Context, below backend.Appender) (backend.Session, error) {
	number := a.flaky.live.number()
	e := a.flaky.decide(Call{Op: OnOpen, Session: number}, new(int))
	if err := pause(ctx, e, nil); err != nil {
		return nil, fmt.Errorf("flaky: open: %w: %w", backend.ErrTransient, err)
	}
	if e.kind == "Fail" {
		return nil, refused("open", e.err)
	}
	session, err := below.Open(ctx)
	if err != nil {
		return nil, err
	}
	return newFlakySession(a, session, below.Limits().InFlight, number, e), nil
}

// store notes that the store below has acknowledged ack, in seqs of this Appender.
func (a *flakyAppender) store(ack backend.Ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored = max(a.stored, ack.Seq+1)
	if a.flaky.Dedup && ack.Seq >= a.acked {
		if a.acks == nil {
			a.acks = make(map[uint64]backend.Ack)
		}
		a.acks[ack.Seq] = ack
	}
}

// tell notes that Recv has returned the ack of seq.
func (a *flakyAppender) tell(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ; a.acked <= seq; a.acked++ {
		delete(a.acks, a.acked)
	}
}

func (a *flakyAppender) told() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked
}

// untold reports whether batches are stored of which Recv has said nothing.
func (a *flakyAppender) untold() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stored > a.acked
}

// known returns the ack of a resent batch that need not be stored again.
func (a *flakyAppender) known(seq uint64) (backend.Ack, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.flaky.Dedup || seq >= a.stored {
		return backend.Ack{}, false
	}
	if ack, ok := a.acks[seq]; ok {
		return ack, true
	}
	return backend.Ack{Seq: seq}, true // it was covered by a later one
}

func (a *flakyAppender) closed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy = false
}
