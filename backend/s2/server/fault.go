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
	AppendSession Op = 1 << iota // POST of records, in frames
	ReadSession                  // GET of records, in frames
	UnaryAppend
	UnaryRead
	EventRead // server-sent events
	CheckTail
	StreamCall  // all other calls below /streams
	AccountCall // basins, access tokens, metrics, locations

	AnyAppend = AppendSession | UnaryAppend
	AnyRead   = ReadSession | UnaryRead | EventRead
)

// A Stage is a moment in the handling of a request.
type Stage int

// The stages. An append session passes Received and Replying once for each input; a read session passes Replying once for
// each frame that it sends, heartbeats included.
const (
	Arrived  Stage = iota // the request headers have arrived, and nothing was done
	Received              // a whole batch has arrived, and is not stored
	Replying              // the batch is stored and its ack is not sent; or records were read and are not sent
)

// A Fault is something that goes wrong on purpose, for one class of requests, on one stream or on all streams. The zero
// Stage is Arrived, and the zero Times is once.
//
//	lost ack:             {Op: AnyAppend, Stage: Replying, Do: Drop()}
//	lost append:          {Op: AnyAppend, Stage: Received, Do: Drop()}
//	slow ack:             {Op: AppendSession, Stage: Replying, Do: Delay(d), Times: Always}
//	clean end, unacked:   {Op: AppendSession, Stage: Replying, Do: End()}
//	terminal frame:       {Op: ReadSession, Stage: Replying, Skip: 3, Do: Status(500, "storage")}
//	broken after k bytes: {Op: ReadSession, Do: CutAfter(k)}
type Fault = fault.Fault[Op, Stage, Effect]

// An Injection is a Fault that was injected.
type Injection = fault.Injection

// Always makes a Fault strike until it is removed.
const Always = fault.Always

// name returns what the counters call the class of a single request.
func (op Op) name() string {
	switch op {
	case AppendSession:
		return "append session"
	case ReadSession:
		return "read session"
	case UnaryAppend:
		return "append"
	case UnaryRead:
		return "read"
	case EventRead:
		return "read events"
	case CheckTail:
		return "check tail"
	case StreamCall:
		return "streams"
	case AccountCall:
		return "account"
	}
	return "other" // a preflight, a health check, or a path that is no endpoint
}

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

// Status makes the request fail. If the answer has not begun, the client receives an HTTP error; otherwise a terminal
// frame or an error event.
func Status(status int, code string) Effect {
	return Effect{do: doStatus, err: fail(status, code, "injected by a test")}
}

// RetryAfter does what [Status] does, and also asks the client for a pause, in the header retry-after-ms.
func RetryAfter(status int, code string, pause time.Duration) Effect {
	e := Status(status, code)
	e.err.retryAfter = pause
	return e
}

// Drop breaks the connection and all requests on it. Batches that were stored before stay stored; nothing else of a
// session is stored.
func Drop() Effect { return Effect{do: doDrop} }

// Reset ends only this request, with RST_STREAM. Over HTTP/1.1, Reset does what Drop does.
func Reset() Effect { return Effect{do: doReset} }

// End ends the answer as if it were complete, even if acks or records are missing.
func End() Effect { return Effect{do: doEnd} }

// Stall sends nothing more, until the client gives up or the server is closed.
func Stall() Effect { return Effect{do: doStall} }

// Delay waits for d, and then goes on.
func Delay(d time.Duration) Effect { return Effect{do: doDelay, delay: d} }

// GoAway tells the client that the connection takes no new HTTP/2 streams. Streams that are open go on.
func GoAway() Effect { return Effect{do: doGoAway} }

// AdviseReconnect sets the flag of this name on the frame that is being sent.
func AdviseReconnect() Effect { return Effect{do: doAdvise} }

// Frame sends raw in place of the frame that is due. raw may be any bytes.
func Frame(raw []byte) Effect { return Effect{do: doFrame, frame: slices.Clone(raw)} }

// Rewrite sends f(frame) in place of the frame that is due. The goroutine of the request calls f. f may change frame.
func Rewrite(f func(frame []byte) []byte) Effect { return Effect{do: doRewrite, rewrite: f} }

// CutAfter breaks the connection after the server has sent so many more bytes; the bytes of HTTP/2 itself count too.
// Until then the request goes on.
func CutAfter(bytes int) Effect { return Effect{do: doCut, bytes: bytes} }

// Inject makes f strike from now on. If several faults fit the same moment, the fault that was injected first strikes.
func (s *Server) Inject(f Fault) *Injection { return s.faults.Inject(f) }

// strike returns the effect of a fault that strikes now, or the zero Effect, which does nothing.
//
// The faults are chosen by the name that the client wrote, without the prefix of its token: a test knows no other name.
func (s *Server) strike(op Op, stream string, stage Stage) Effect {
	e, _ := s.faults.Strike(op, stream, stage)
	return e
}
