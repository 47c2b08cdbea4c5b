package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/fault"
)

// An Op is a class of requests. Ops are combined with |.
type Op uint16

// The classes of requests.
const (
	CreateCall Op = 1 << iota
	AppendCall
	CatchUpRead
	LongPollRead
	EventRead // server-sent events
	HeadCall
	DeleteCall

	AnyRead = CatchUpRead | LongPollRead | EventRead
)

// A Stage is a moment in the handling of a request.
type Stage int

// The stages.
const (
	Arrived  Stage = iota // the request headers have arrived, and nothing was done
	Received              // the whole body of a POST or PUT has arrived, and nothing is stored
	Replying              // the request has succeeded, and no byte of the answer is sent
)

// A Fault is something that goes wrong on purpose, for one class of requests, on one stream or on all streams. The zero
// Stage is Arrived, and the zero Times is once.
//
//	lost answer:          {Op: AppendCall, Stage: Replying, Do: Drop()}
//	lost append:          {Op: AppendCall, Stage: Received, Do: Drop()}
//	broken after k bytes: {Op: AnyRead, Do: CutAfter(k)}
//	overloaded:           {Do: RetryAfter(503, time.Second), Times: Always}
type Fault = fault.Fault[Op, Stage, Effect]

// An Injection is a Fault that was injected.
type Injection = fault.Injection

// Always makes a Fault strike until it is removed.
const Always = fault.Always

// Inject makes f strike from now on. If several faults fit the same moment, the fault that was injected first strikes.
func (s *Server) Inject(f Fault) *Injection { return s.handler.faults.Inject(f) }

// An Effect is what a Fault does.
type Effect struct {
	// do returns the reason for refusing the request, or nil if the request goes on. do may panic with
	// http.ErrAbortHandler to break the connection.
	do func(*reply) error
}

// Status refuses the request with a status. At Replying, the change is already made, or the data is already read.
func Status(code int) Effect { return RetryAfter(code, 0) }

// RetryAfter does what [Status] does, and also asks the client for a pause, in whole seconds.
func RetryAfter(code int, pause time.Duration) Effect {
	return Effect{func(*reply) error { return &injectedError{code, pause} }}
}

// Drop breaks the connection.
func Drop() Effect { return Effect{func(*reply) error { panic(http.ErrAbortHandler) }} }

// Delay waits for d, and then goes on.
func Delay(d time.Duration) Effect { return Effect{func(x *reply) error { x.pause(d); return nil }} }

// Stall sends nothing more, until the client gives up or the server is closed.
func Stall() Effect { return Delay(365 * 24 * time.Hour) }

// CutAfter breaks the connection after so many bytes of the body of the answer.
func CutAfter(bytes int) Effect {
	return Effect{func(x *reply) error { x.cutting, x.bytesLeft = true, bytes; return nil }}
}

// An injectedError is a refusal by a fault.
type injectedError struct {
	status int
	pause  time.Duration
}

func (e *injectedError) Error() string {
	return fmt.Sprintf("server: status %d by an injected fault", e.status)
}

// opOf returns the class of a request. A preflight has no class, so no fault strikes a preflight.
func opOf(r *http.Request) Op {
	switch r.Method {
	case http.MethodPut:
		return CreateCall
	case http.MethodPost:
		return AppendCall
	case http.MethodHead:
		return HeadCall
	case http.MethodDelete:
		return DeleteCall
	}
	switch q := r.URL.RawQuery; {
	case r.Method != http.MethodGet:
		return 0
	case strings.Contains(q, "live=sse"):
		return EventRead
	case strings.Contains(q, "live=long-poll"):
		return LongPollRead
	}
	return CatchUpRead
}
