package backendtest

import (
	"errors"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// ErrInjected is wrapped by every error that a [FlakySink] or [FlakySource] makes up. A test can thereby tell injected errors
// from errors of the store below.
var ErrInjected = errors.New("injected fault")

// An Effect is a fault that happens to a call. The zero Effect does nothing. An Effect that cannot happen to the kind of call
// is a mistake in the test and panics.
//
// For an Effect with an error argument, nil stands for the error of a real connection. When nothing was taken, the error is
// [backend.ErrTransient]. When a batch may be stored, the error is [backend.ErrIndeterminate]; on a sink with Dedup set, the
// error is [backend.ErrTransient] too.
type Effect struct {
	kind  kind
	err   error
	delay time.Duration                     // wait before the call
	life  time.Duration                     // life of the session, for Lifetime
	n     int                               // number of records, for Truncate
	ack   func(backend.Ack) backend.Ack     // for ForgeAck
	batch func(backend.Batch) backend.Batch // for ForgeBatch
}

// A kind is the name of the function that makes the Effect, and also the key in the counters.
type kind string

// possible lists the kinds of calls to which an Effect can happen.
var possible = map[kind][]Op{
	"Fail":       {OnOpen, OnSend, OnAck, OnClose, OnOpenReader, OnRead},
	"Delay":      {OnOpen, OnSend, OnAck, OnOpenReader, OnRead},
	"Hang":       {OnOpen, OnSend, OnOpenReader, OnRead},
	"DropBefore": {OnSend},
	"DropAfter":  {OnSend},
	"Refuse":     {OnSend},
	"Stall":      {OnOpen, OnSend, OnAck},
	"LoseAck":    {OnAck},
	"ForgeAck":   {OnAck},
	"Lifetime":   {OnOpen, OnOpenReader},
	"Truncate":   {OnRead},
	"ForgeBatch": {OnRead},
}

func (e Effect) fits(op Op) bool { return slices.Contains(possible[e.kind], op) }

// Fail makes the call fail and ends its session, and nothing reaches the store. On OnSend the batch is not taken, and Recv still
// returns the acks of the batches before; with nil the session ends as in routine work. On OnAck the session ends in place of
// the ack, although the batch is stored. On OnClose everything is released, and only the result of Close is err.
func Fail(err error) Effect { return Effect{kind: "Fail", err: err} }

// Delay makes the call wait for d first, or until its context or session ends. On OnAck the delay is a latency: all acks on
// their way wait at the same time, and stay in order.
func Delay(d time.Duration) Effect { return Effect{kind: "Delay", delay: d} }

// Hang makes the call wait until its context ends or Close is called.
func Hang() Effect { return Effect{kind: "Hang"} }

// DropBefore takes the batch and loses the connection before the store gets the batch. Earlier acks still arrive.
func DropBefore(err error) Effect { return Effect{kind: "DropBefore", err: err} }

// DropAfter takes the batch, gives the batch to the store, and loses the connection and the ack. Earlier acks still arrive. A
// resend is stored a second time, unless the sink has Dedup set and recognizes the resend. Duplicates of real stores arise in
// the same way.
func DropAfter(err error) Effect { return Effect{kind: "DropAfter", err: err} }

// Refuse takes the batch and acts as if the store refused the batch: Recv returns the acks of the batches before, and then err.
// err should wrap [backend.ErrRejected] or [backend.ErrTooLarge] and may hold a [backend.RecordError]. When err wraps
// [backend.ErrIndeterminate] too, the acks that Recv has not returned yet are lost.
func Refuse(err error) Effect { return Effect{kind: "Refuse", err: err} }

// Stall makes the session go on but never acknowledge again: from the opening on, from this batch on (the store never gets this
// batch), or from this ack on. Send still takes as many batches as Limits.InFlight has room for; when InFlight is 0, Send takes
// batches without bound.
func Stall() Effect { return Effect{kind: "Stall"} }

// LoseAck drops a single ack and nothing else. Acks are cumulative, so the next ack makes up for the loss. Without a next ack the
// batch stays unacknowledged for ever, although the batch is stored.
func LoseAck() Effect { return Effect{kind: "LoseAck"} }

// ForgeAck replaces the ack by the result of f, for example an ack that claims more than was taken, an ack that goes back, or an
// ack with another Next.
func ForgeAck(f func(backend.Ack) backend.Ack) Effect { return Effect{kind: "ForgeAck", ack: f} }

// Lifetime ends the session or reader at the time d after its opening; no call is needed. Batches taken by then are still
// acknowledged before Recv returns err; nil stands for the end in routine work ([backend.ErrTransient]). With d = 0 the server
// accepts the connection and drops the connection at once.
func Lifetime(d time.Duration, err error) Effect {
	return Effect{kind: "Lifetime", life: d, err: err}
}

// Truncate cuts the connection in the middle of a response: this Read returns at most n records, and the next Read fails with
// [backend.ErrTransient]. With n = 0 this Read fails.
func Truncate(n int) Effect { return Effect{kind: "Truncate", n: n} }

// ForgeBatch replaces the batch that was read by the result of f.
func ForgeBatch(f func(backend.Batch) backend.Batch) Effect {
	return Effect{kind: "ForgeBatch", batch: f}
}
