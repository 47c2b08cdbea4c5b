package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A FlakySink is a [backend.Sink] in front of another sink, and makes calls go wrong according to its faults:
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
// A FlakySink checks the contract of [backend.Session] strictly, so that mistakes of a producer come to light. Errors are: a
// gap in seq, a seq that was acknowledged before, and an opening while the previous session is not closed. A FlakySink may be
// used inside a synctest bubble if the sink below may.
type FlakySink struct {
	// With Dedup the FlakySink recognizes a resend by its seq: the resend is acknowledged in its turn and not stored again,
	// whether or not the sink below recognizes resends. Without Dedup each session stores every batch it gets, like a store
	// that keeps no seq. Set Dedup before the first opening.
	Dedup bool

	*script
	sink backend.Sink
	live live[*flakySession]
}

// NewFlakySink makes a FlakySink with the given faults in front of sink.
func NewFlakySink(sink backend.Sink, faults ...Fault) *FlakySink {
	return &FlakySink{script: newScript(faults), sink: sink}
}

// NewAppender makes an Appender for a producer.
func (f *FlakySink) NewAppender(format backend.Format) backend.Appender {
	return &flakyAppender{flaky: f, format: format, below: f.sink.NewAppender(format)}
}

// Break drops all connections at this moment. Acks that Recv has not returned yet are lost, and the next Recv returns err (nil
// has the same meaning as for [DropAfter]). Batches that were taken are still stored.
func (f *FlakySink) Break(err error) {
	for _, s := range f.live.all() {
		s.breakNow(f.lostError("connection", err))
	}
}

// lostError makes the error for a batch that may be stored. With Dedup a resend of the batch is safe, so the error wraps
// ErrTransient too.
func (f *FlakySink) lostError(op string, err error) error {
	if err == nil {
		err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, io.ErrUnexpectedEOF)
		if f.Dedup {
			err = fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
	}
	return injectedError(op, err)
}

// notTakenError makes the error for a call that had no effect on the store, so a retry is safe.
func notTakenError(op string, err error) error {
	if err == nil {
		err = fmt.Errorf("%w: %w", backend.ErrTransient, io.ErrUnexpectedEOF)
	}
	return injectedError(op, err)
}

// injectedError marks an error as made by a fault.
func injectedError(op string, err error) error {
	return fmt.Errorf("flaky: %s: %w (%w)", op, err, ErrInjected)
}

// live is the set of sessions or readers that Break ends.
type live[S comparable] struct {
	mu   sync.Mutex
	set  map[S]struct{}
	made int // number of sessions ever made
}

// number returns the number of the next session, counted from 1.
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

// flakyAppender translates seqs for the sink below in one of two ways. With Dedup the seqs are the same, and all sessions share
// an Appender below. Without Dedup each session gets a new Appender below and counts from 0 there; otherwise a sink below that
// recognizes resends would not store a batch twice.
type flakyAppender struct {
	flaky  *FlakySink
	format backend.Format

	mu     sync.Mutex
	below  backend.Appender
	opened bool                   // Open was called on below
	busy   bool                   // a session is not closed
	acked  uint64                 // seqs below were acknowledged to the producer: Recv has returned the ack
	stored uint64                 // seqs below are durable, whether or not the producer knows
	acks   map[uint64]backend.Ack // with Dedup: acks that Recv has not returned
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

// open applies the effect of an opening and opens the session below.
func (a *flakyAppender) open(ctx context.Context, below backend.Appender) (backend.Session, error) {
	number := a.flaky.live.number()
	e := a.flaky.effectOf(Call{Op: OnOpen, Session: number}, new(int))
	if err := pause(ctx, e, nil); err != nil {
		return nil, fmt.Errorf("flaky: open: %w: %w", backend.ErrTransient, err)
	}
	if e.kind == "Fail" {
		return nil, notTakenError("open", e.err)
	}
	session, err := below.Open(ctx)
	if err != nil {
		return nil, err
	}
	return newFlakySession(a, session, below.Limits().InFlight, number, e), nil
}

// noteStored notes an ack of the store below. The seq is already translated to the seqs of this Appender.
func (a *flakyAppender) noteStored(ack backend.Ack) {
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

// noteReturned notes that Recv has returned the ack of seq to the producer.
func (a *flakyAppender) noteReturned(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ; a.acked <= seq; a.acked++ {
		delete(a.acks, a.acked)
	}
}

// returned returns the seq behind the last ack that Recv has returned.
func (a *flakyAppender) returned() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked
}

// anyUnreturned reports whether a batch is stored whose ack Recv has not returned.
func (a *flakyAppender) anyUnreturned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stored > a.acked
}

// knownAck returns the ack of a resent batch that is stored already, with Dedup.
func (a *flakyAppender) knownAck(seq uint64) (backend.Ack, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.flaky.Dedup || seq >= a.stored {
		return backend.Ack{}, false
	}
	if ack, ok := a.acks[seq]; ok {
		return ack, true
	}
	return backend.Ack{Seq: seq}, true // a later ack covered the batch, so its offsets are not known
}

// noteClosed allows the next opening.
func (a *flakyAppender) noteClosed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy = false
}
