package consumer

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"
)

// A MergedMessage is a message of a stream of [Merge].
type MergedMessage[T any] struct {
	Message[T]
	Stream int // which consumer of Merge has read the message, counted from 0
}

// Merge follows several streams as one, in the order of the records' times. Each stream keeps the options, the checkpoint
// and the memory bound of its own consumer. Asking for the next message marks the message before as done, in its own
// stream. A body that leaves the loop may mark the message in hand with [Message.Ack].
//
// A record is given out when every other stream has shown a later record, has ended, or has been at its tail for
// [MergeWait] (100 ms by default). Records of equal times come in the order of the arguments. A record without a time
// is given out as soon as it has arrived. Within one stream the order of the stream always counts, whatever the times
// are. A record that arrives after the others have gone on without its stream comes late, behind later records.
//
// A stream that cannot be read is not at its tail. While the store of a stream is down, the merge waits and gives out
// only records without a time; [Attempts] ends the wait. To merge only the present records, give all consumers
// [StopAtTail] or [StopAt]: then the order does not depend on MergeWait.
//
// The loop ends without an error when all streams have ended. An error of one stream ends the loop, is final, and names
// the checkpoint key of the stream, or the number of the stream where there is no key. The end of the loop, for whatever
// reason, ends all readers and saves the place of every stream. Always range over both values, as with
// [Consumer.Messages].
//
// Every consumer runs its loop in a goroutine of its own, and saves its place while looking for its next message, not
// while a message waits for other streams. A kill repeats as much as without Merge. The functions of [OnPoison] and hooks
// of different consumers may run at once. When one of these functions, or a codec, panics, Merge raises a [*PanicError]
// in the goroutine that ranges. [ManualAck] is refused.
func Merge[T any](ctx context.Context, cs ...*Consumer[T]) iter.Seq2[MergedMessage[T], error] {
	return func(yield func(MergedMessage[T], error) bool) {
		g, err := newMerge(cs)
		if err != nil {
			yield(MergedMessage[T]{}, err)
			return
		}
		g.start(ctx)
		// The body may also leave by a panic or by runtime.Goexit. Then handOut does not return, and left stays true.
		left := true
		defer func() {
			if left {
				g.closeAfterBreak()
			}
		}()
		if left, err = g.handOut(ctx, yield); left {
			return
		}
		if err := g.closeWith(err); err != nil {
			yield(MergedMessage[T]{}, err)
		}
	}
}

// A merge is one loop over several streams. Only the goroutine that ranges uses the fields.
type merge[T any] struct {
	streams []*mergeStream[T]
	running int               // streams that have not ended
	waiting []*mergeStream[T] // streams that have a message in hand, in the order of arrival
	timer   *time.Timer       // looks at silent streams again

	events     chan *mergeStream[T] // a stream has a message in hand, or has ended
	reading    context.Context      // of the loops of the consumers
	stop       context.CancelFunc
	goroutines sync.WaitGroup
}

func newMerge[T any](cs []*Consumer[T]) (*merge[T], error) {
	// When told to end, a stream may have an unread event, and adds the event of its end.
	g := &merge[T]{running: len(cs), events: make(chan *mergeStream[T], 2*len(cs))}
	for i, c := range cs {
		s := &mergeStream[T]{c: c, no: i, next: make(chan struct{}, 1)}
		switch {
		case c == nil:
			return nil, s.named(errors.New("the consumer is nil"))
		case c.cfg.manual:
			return nil, s.named(errors.New("a merge marks records done in order: leave the option ManualAck out"))
		}
		s.before = c.latest()
		g.streams = append(g.streams, s)
	}
	return g, nil
}

func (g *merge[T]) start(ctx context.Context) {
	g.reading, g.stop = context.WithCancel(ctx)
	g.timer = time.NewTimer(0)
	for _, s := range g.streams {
		g.goroutines.Go(func() { s.read(g.reading, g.events) })
	}
}

// handOut hands out messages until the end, and reports whether the body left the loop. handOut returns the error of ctx;
// errors of the streams stay in the streams.
func (g *merge[T]) handOut(ctx context.Context, yield func(MergedMessage[T], error) bool) (left bool, err error) {
	for {
		s, err := g.next(ctx)
		if s == nil {
			return false, err
		}
		if !yield(MergedMessage[T]{Message: s.head, Stream: s.no}, nil) {
			return true, nil
		}
		g.waiting = slices.DeleteFunc(g.waiting, func(w *mergeStream[T]) bool { return w == s })
		s.waiting = false
		s.next <- struct{}{}
	}
}

// next waits for the stream whose message is to be given out, and returns nil when the loop ends.
func (g *merge[T]) next(ctx context.Context) (*mergeStream[T], error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, again := g.earliest()
		if s != nil || g.running == 0 {
			return s, nil
		}
		g.timer.Stop()
		if again > 0 {
			g.timer.Reset(again)
		}
		select {
		case s := <-g.events:
			if s.ended && s.err != nil {
				return nil, ctx.Err() // closeWith finds the error
			}
			g.take(s)
		case <-g.timer.C:
		case <-ctx.Done():
		}
	}
}

// take notes that s has a message in hand or has ended without an error.
func (g *merge[T]) take(s *mergeStream[T]) {
	s.tailSince = time.Time{}
	if s.ended {
		s.over = true
		g.running--
		return
	}
	s.waiting = true
	g.waiting = append(g.waiting, s)
}

// earliest returns the stream whose message is to be given out now. When no message may be given out yet, earliest
// returns the time to look again; 0 means: only an event can change the answer.
func (g *merge[T]) earliest() (first *mergeStream[T], again time.Duration) {
	for _, s := range g.waiting {
		if s.head.Time.IsZero() {
			return s, 0
		}
		if first == nil || s.isBefore(first) {
			first = s
		}
	}
	if len(g.waiting) == g.running {
		return first, 0
	}
	now := time.Now()
	for _, s := range g.streams {
		if s.waiting || s.over {
			continue
		}
		if d := s.untilQuiet(now); d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	if again > 0 {
		return nil, again
	}
	return first, 0
}

// close ends the loops of all consumers, and waits until they have saved their places. The caller must raise the panics after that.
func (g *merge[T]) close() {
	g.timer.Stop()
	g.stop()
	for _, s := range g.streams {
		close(s.next)
	}
	g.goroutines.Wait()
}

// raise raises the first panic of a goroutine again.
func (g *merge[T]) raise() {
	for _, s := range g.streams {
		if s.panicked != nil {
			panic(s.panicked)
		}
	}
}

// closeAfterBreak ends a merge whose body broke out, returned or panicked. The errors of the streams cannot be yielded
// any more: each error becomes the error of the next loop of its consumer.
func (g *merge[T]) closeAfterBreak() {
	g.close()
	for _, s := range g.streams {
		if err := s.failure(g.reading.Err()); err != nil {
			s.c.swapFinalSaveErr(err)
		}
	}
	g.raise()
}

// closeWith ends a merge because of err: the error of ctx, or nil. closeWith returns the last error for the merge to
// yield. An error of a stream hides the error of ctx, because callers may take a cancelled ctx for success.
func (g *merge[T]) closeWith(err error) error {
	g.close()
	g.raise()
	var failures []error
	for _, s := range g.streams {
		if failure := s.failure(g.reading.Err()); failure != nil {
			failures = append(failures, s.named(failure))
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	return err
}
