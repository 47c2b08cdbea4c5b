package backendtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/backend"
)

// An Op is a kind of call that can go wrong.
type Op string

// OnAck is the moment when an ack arrives from the store, not the call of Recv: while nothing is unacknowledged, Recv only waits
// and nothing can go wrong. OnClose is the Close of a session or of a reader.
const (
	OnOpen       Op = "open"
	OnSend       Op = "send"
	OnAck        Op = "ack"
	OnClose      Op = "close"
	OnOpenReader Op = "open reader"
	OnRead       Op = "read"
)

// A Call describes a call that is about to be made, for a [Fault].
type Call struct {
	Op        Op
	N         int // number of the call among the calls of its Op on the sink or source, from 1
	Session   int // number of the session or reader, from 1; an opening has the number of the session it opens
	InSession int // number of the call among the calls of its Op in the session, from 1

	Seq     uint64           // for OnSend and OnAck
	Records []backend.Record // for OnSend; a Fault must not keep them
	From    backend.Offset   // for OnOpenReader
}

// A Fault chooses for each call the Effect on the call. A Fault runs in the goroutine of the call, with no lock held; several
// calls may run a Fault at the same time. A Fault may wait, for example on a channel of the test; nothing ends such a wait
// from outside.
//
// When several faults act on the same call, all delays are added up. Of the other effects only the first in the list happens.
type Fault func(Call) Effect

// Nth applies e to the n-th call of op, counted from 1 over all sessions.
func Nth(op Op, n int, e Effect) Fault {
	return func(c Call) Effect {
		if c.Op == op && c.N == n {
			return e
		}
		return Effect{}
	}
}

// Every applies e to each n-th call of op: n, 2n, 3n, …
func Every(op Op, n int, e Effect) Fault {
	return func(c Call) Effect {
		if c.Op == op && c.N%n == 0 {
			return e
		}
		return Effect{}
	}
}

// Rotate ends every session after n batches, like a store that bounds the length of sessions in routine work. See [Lifetime]
// for an end by time.
func Rotate(n int) Fault {
	return func(c Call) Effect {
		if c.Op == OnSend && c.InSession > n {
			return Fail(nil)
		}
		return Effect{}
	}
}

// RefuseNamed refuses every batch with a record for which match returns true. The error names the first such record in a
// [backend.RecordError] around err.
func RefuseNamed(match func(*backend.Record) bool, err error) Fault {
	return refuse(match, func(i int) error { return &backend.RecordError{Index: i, Err: err} })
}

// RefuseUnnamed refuses every batch with a record for which match returns true, like a store whose error does not name the
// record.
func RefuseUnnamed(match func(*backend.Record) bool, err error) Fault {
	return refuse(match, func(int) error { return err })
}

// refuse is the common part of RefuseNamed and RefuseUnnamed.
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

// Random applies to each call, with probability p, one of the given effects that can happen to the call. Without effects, Random
// chooses among effects from which a producer or consumer recovers. The effect on the n-th call of an Op depends on seed alone
// and not on the order of goroutines, so a printed seed repeats a run.
func Random(seed uint64, p float64, effects ...Effect) Fault {
	if len(effects) == 0 {
		effects = []Effect{
			Fail(nil), DropBefore(nil), DropAfter(nil), Delay(time.Millisecond), Truncate(0), Truncate(1), Truncate(7),
		}
	}
	return func(c Call) Effect {
		if c.Op == OnClose {
			return Effect{} // the result of Close ends nothing, so a fault there would only take the place of a useful fault
		}
		var salt uint64 // a number for the Op and N of the call
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
