package backendtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/backend"
)

// An Op is a kind of call that can go wrong.
type Op string

// OnAck is the moment an ack arrives from the store, not the call of Recv: a Recv that waits while nothing is
// unacknowledged has nothing to go wrong. OnClose is the Close of a session or of a reader.
const (
	OnOpen       Op = "open"
	OnSend       Op = "send"
	OnAck        Op = "ack"
	OnClose      Op = "close"
	OnOpenReader Op = "open reader"
	OnRead       Op = "read"
)

// A Call is what a [Fault] gets to see of a call that is about to be made.
type Call struct {
	Op        Op
	N         int // the N-th of its Op on this sink or source, from 1
	Session   int // the session or reader it belongs to, from 1; openings count themselves
	InSession int // the N-th of its Op in that session, from 1

	Seq     uint64           // OnSend, OnAck
	Records []backend.Record // OnSend; not to be kept
	From    backend.Offset   // OnOpenReader
}

// A Fault decides call by call what goes wrong. It runs in the goroutine of the call, off every lock and possibly
// several at once, and may itself wait, for example on a channel of the test; nothing but its return ends that wait.
//
// Of several faults on one call all delays are added up, and of the rest the first one in the list happens.
type Fault func(Call) Effect

// Nth makes the n-th call of op suffer e, counted from 1 over all sessions.
func Nth(op Op, n int, e Effect) Fault {
	return func(c Call) Effect {
		if c.Op == op && c.N == n {
			return e
		}
		return Effect{}
	}
}

// Every makes each n-th call of op suffer e: n, 2n, 3n, …
func Every(op Op, n int, e Effect) Fault {
	return func(c Call) Effect {
		if c.Op == op && c.N%n == 0 {
			return e
		}
		return Effect{}
	}
}

// Rotate ends every session routinely after n batches, as stores do that bound a session. See [Lifetime] for an end by
// time.
func Rotate(n int) Fault {
	return func(c Call) Effect {
		if c.Op == OnSend && c.InSession > n {
			return Fail(nil)
		}
		return Effect{}
	}
}

// RefuseNamed refuses every batch that holds a record that match picks, naming the first such record in a
// [backend.RecordError] around err.
func RefuseNamed(match func(*backend.Record) bool, err error) Fault {
	return refuse(match, func(i int) error { return &backend.RecordError{Index: i, Err: err} })
}

// RefuseUnnamed refuses every batch that holds a record that match picks, as a store does that does not say which
// record it was.
func RefuseUnnamed(match func(*backend.Record) bool, err error) Fault {
	return refuse(match, func(int) error { return err })
}

func refuse(match func(*backend.Record) bool, reason func(i int) error) Fault {
	return func(c Call) Effect {
		for i := range c.Records {
			if match(&c.Records[i]) {
				return Refuse(reason(i))
			}
		}
		return Effect{}
	}
}

// Random makes each call suffer, with probability p, one of those effects that can happen to it; without any, one that a
// producer or consumer gets over on its own. What happens to the n-th call of an Op depends on seed alone and not on
// how goroutines interleave; print the seed.
func Random(seed uint64, p float64, effects ...Effect) Fault {
	if len(effects) == 0 {
		effects = []Effect{
			Fail(nil), DropBefore(nil), DropAfter(nil), Delay(time.Millisecond), Truncate(0), Truncate(1), Truncate(7),
		}
	}
	return func(c Call) Effect {
		if c.Op == OnClose {
			return Effect{} // its result ends nothing, so that injecting there would only thin out the rest
		}
		var salt uint64
		for _, b := range []byte(fmt.Sprint(c.Op, c.N)) {
			salt = salt*131 + uint64(b)
		}
		dice := rand.New(rand.NewPCG(seed, salt))
		if dice.Float64() >= p {
			return Effect{}
		}
		var fit []Effect
		for _, e := range effects {
			if e.fits(c.Op) {
				fit = append(fit, e)
			}
		}
		if len(fit) == 0 {
			return Effect{}
		}
		return fit[dice.IntN(len(fit))]
	}
}
