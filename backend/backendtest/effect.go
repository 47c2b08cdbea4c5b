package backendtest

import (
	"errors"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// ErrInjected is wrapped by every error that a [FlakySink] or [FlakySource] made up, so that a test can tell them from
// the errors of the store below.
var ErrInjected = errors.New("injected fault")

// An Effect is what goes wrong with one call. The zero Effect is nothing. An Effect that cannot happen to the call it is
// given to is a mistake in the test and panics.
//
// Where an Effect takes an error, nil stands for what a real connection would say: [backend.ErrTransient] where nothing
// was taken; where a batch may be stored, [backend.ErrIndeterminate] and, on a sink that has Dedup set,
// [backend.ErrTransient] too.
type Effect struct {
	kind  kind
	err   error
	delay time.Duration // before the call
	life  time.Duration // of the session, for Lifetime
	n     int
	ack   func(backend.Ack) backend.Ack
	batch func(backend.Batch) backend.Batch
}

// A kind is the name of the function that makes the Effect, which is also its key in the counters.
type kind string

// possible says which calls an Effect can happen to.
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

// Fail makes the call fail and end its session, with nothing reaching the store. On OnSend the batch is not taken, and
// Recv still returns the acks of those before it; with nil this is the routine end of a session. On OnAck the session
// ends in place of the ack, though the batch is stored. On OnClose everything is released and only the result is err.
func Fail(err error) Effect { return Effect{kind: "Fail", err: err} }

// Delay makes the call wait for d first, or until its context or session ends. On OnAck it is a latency: acks that are
// on their way wait at the same time, in order.
func Delay(d time.Duration) Effect { return Effect{kind: "Delay", delay: d} }

// Hang makes the call wait until its context ends or Close is called.
func Hang() Effect { return Effect{kind: "Hang"} }

// DropBefore takes the batch and loses the connection before the store has it. Earlier acks still arrive.
func DropBefore(err error) Effect { return Effect{kind: "DropBefore", err: err} }

// DropAfter takes the batch, lets the store have it, and loses the connection and the ack. Earlier acks still arrive.
// A resend is stored a second time, or recognized where the sink has Dedup set: this is how a duplicate comes about.
func DropAfter(err error) Effect { return Effect{kind: "DropAfter", err: err} }

// Refuse takes the batch and has the store refuse it: Recv returns the acks before it and then err, which should wrap
// [backend.ErrRejected] or [backend.ErrTooLarge] and may hold a [backend.RecordError]. When err wraps
// [backend.ErrIndeterminate] too, the acks that Recv has not returned yet are lost.
func Refuse(err error) Effect { return Effect{kind: "Refuse", err: err} }

// Stall makes the session go on without ever acknowledging again: from its opening, from this batch (which the store
// never gets), or from this ack. Send takes what Limits.InFlight leaves room for, without bound when it is 0.
func Stall() Effect { return Effect{kind: "Stall"} }

// LoseAck drops one ack and nothing else. As acks are cumulative, the next one makes up for it; without a next one
// the batch stays unacknowledged for ever, though stored.
func LoseAck() Effect { return Effect{kind: "LoseAck"} }

// ForgeAck returns what f makes of the ack: one that claims more than was taken, one that goes back, another Next.
func ForgeAck(f func(backend.Ack) backend.Ack) Effect { return Effect{kind: "ForgeAck", ack: f} }

// Lifetime ends the session or reader d after its opening, without any call being needed. Batches taken by then are
// still acknowledged before Recv says err; nil is the routine end ([backend.ErrTransient]). With d = 0 the server
// accepts the connection and drops it at once.
func Lifetime(d time.Duration, err error) Effect {
	return Effect{kind: "Lifetime", life: d, err: err}
}

// Truncate cuts the connection in the middle of a response: this Read returns at most n records, the next one fails
// with [backend.ErrTransient]. With n = 0 this Read fails.
func Truncate(n int) Effect { return Effect{kind: "Truncate", n: n} }

// ForgeBatch returns what f makes of the batch that was read.
func ForgeBatch(f func(backend.Batch) backend.Batch) Effect {
	return Effect{kind: "ForgeBatch", batch: f}
}
