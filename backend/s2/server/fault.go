package server

import (
	"slices"
	"time"

	"github.com/headrace/headrace/internal/fault"
)

// An Op is a class of requests. Ops are combined with |.
type Op uint16

// The classes of requests.
const (
	AppendSession Op = 1 << iota // POST records over frames
	ReadSession                  // GET records over frames
	UnaryAppend
	UnaryRead
	EventRead // server-sent events
	CheckTail
	StreamCall  // everything else below /streams
	AccountCall // basins, access tokens, metrics, locations

	AnyAppend = AppendSession | UnaryAppend
	AnyRead   = ReadSession | UnaryRead | EventRead
)

// A Stage is a moment in the handling of a request.
type Stage int

// The stages. An append session passes Received and Replying once for each input; a read session passes Replying once for
// each frame that it sends, heartbeats included.
const (
	Arrived  Stage = iota // the headers are there, and nothing was done
	Received              // a batch is there whole, and is not stored
	Replying              // the batch is stored and its ack not sent; or records were read and not sent
)

// A Fault is something that goes wrong on purpose, for the requests of a class on one stream or on all. Its zero Stage is
// Arrived, and its zero Times is once.
//
//	lost ack:             {Op: AnyAppend, Stage: Replying, Do: Drop()}
//	lost append:          {Op: AnyAppend, Stage: Received, Do: Drop()}
//	slow ack:             {Op: AppendSession, Stage: Replying, Do: Delay(d), Times: Always}
//	clean end, unacked:   {Op: AppendSession, Stage: Replying, Do: End()}
//	terminal frame:       {Op: ReadSession, Stage: Replying, Skip: 3, Do: Status(500, "storage")}
//	broken after k bytes: {Op: ReadSession, Do: CutAfter(k)}
type Fault = fault.Fault[Op, Stage, Effect]

// An Injection is a Fault at work.
type Injection = fault.Injection

// Always makes a Fault strike until it is removed.
const Always = fault.Always

type effect int

const (
	doNothing effect = iota
	doStatus
	doDrop
	doReset
	doEnd
	doStall
	doDelay
	doGoAway
	doAdvise
	doFrame
	doRewrite
	doCut
)

// An Effect is what a Fault does.
type Effect struct {
	do      effect
	err     *apiError
	delay   time.Duration
	bytes   int
	frame   []byte
	rewrite func([]byte) []byte
}

// Status fails the request: with an HTTP error as long as no answer was begun, else with a terminal frame or an error
// event.
func Status(status int, code string) Effect {
	return Effect{do: doStatus, err: fail(status, code, "injected by a test")}
}

// RetryAfter is [Status] that also asks for a pause, in retry-after-ms.
func RetryAfter(status int, code string, pause time.Duration) Effect {
	e := Status(status, code)
	e.err.retryAfter = pause
	return e
}

// Drop breaks the connection, with all that runs over it: of what a session has sent, only what is stored already stays.
func Drop() Effect { return Effect{do: doDrop} }

// Reset ends the one request with RST_STREAM; over HTTP/1.1 it is Drop.
func Reset() Effect { return Effect{do: doReset} }

// End ends the answer as if all were well, whatever is still owed.
func End() Effect { return Effect{do: doEnd} }

// Stall says nothing more until the client gives up or the server is closed.
func Stall() Effect { return Effect{do: doStall} }

// Delay waits, then goes on.
func Delay(d time.Duration) Effect { return Effect{do: doDelay, delay: d} }

// GoAway announces that the connection takes no new streams, and goes on with those that there are.
func GoAway() Effect { return Effect{do: doGoAway} }

// AdviseReconnect sets the flag of that name on the frame that is being sent.
func AdviseReconnect() Effect { return Effect{do: doAdvise} }

// Frame sends the bytes given, whatever they are, in place of the frame that is due.
func Frame(raw []byte) Effect { return Effect{do: doFrame, frame: slices.Clone(raw)} }

// Rewrite sends what f makes of the frame that is due. It is called from the handler of the request and owns its argument.
func Rewrite(f func(frame []byte) []byte) Effect { return Effect{do: doRewrite, rewrite: f} }

// CutAfter breaks the connection behind so many more bytes from the server, those of HTTP/2 itself included, and goes on
// until then.
func CutAfter(bytes int) Effect { return Effect{do: doCut, bytes: bytes} }

// Inject puts a fault to work. Of several faults that fit the same moment, the one that was injected first strikes.
func (s *Server) Inject(f Fault) *Injection { return s.faults.Inject(f) }

// strike returns what is to go wrong now, if anything.
func (s *Server) strike(op Op, stream string, stage Stage) Effect {
	e, struck := s.faults.Strike(op, stream, stage)
	if struck {
		s.stats.faults.Add(1)
	}
	return e
}
