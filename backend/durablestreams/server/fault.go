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
	Arrived  Stage = iota // the headers are there, and nothing was done
	Received              // the body of a POST or PUT is there whole, and nothing is stored
	Replying              // the request has succeeded, and nothing of the answer is sent
)

// A Fault is something that goes wrong on purpose, for the requests of a class on one stream or on all. Its zero Stage is
// Arrived, and its zero Times is once.
//
//	lost answer:          {Op: AppendCall, Stage: Replying, Do: Drop()}
//	lost append:          {Op: AppendCall, Stage: Received, Do: Drop()}
//	broken after k bytes: {Op: AnyRead, Do: CutAfter(k)}
//	overloaded:           {Do: RetryAfter(503, time.Second), Times: Always}
type Fault = fault.Fault[Op, Stage, Effect]

// An Injection is a Fault at work.
type Injection = fault.Injection

// Always makes a Fault strike until it is removed.
const Always = fault.Always

// Inject puts a fault to work. Of several faults that fit the same moment, the one that was injected first strikes.
func (s *Server) Inject(f Fault) *Injection { return s.handler.faults.Inject(f) }

// An Effect is what a Fault does.
type Effect struct {
	// do returns why the request is refused, or nil if the request goes on. It may panic with http.ErrAbortHandler, which
	// breaks the connection.
	do func(*reply) error
}

// Status refuses the request with a status. At Replying, the change is made or the data is read all the same.
func Status(code int) Effect { return RetryAfter(code, 0) }

// RetryAfter is [Status] that also asks for a pause, in whole seconds.
func RetryAfter(code int, pause time.Duration) Effect {
	return Effect{func(*reply) error { return &injectedError{code, pause} }}
}

// Drop breaks the connection.
func Drop() Effect { return Effect{func(*reply) error { panic(http.ErrAbortHandler) }} }

// Delay waits, then goes on.
func Delay(d time.Duration) Effect { return Effect{func(x *reply) error { x.pause(d); return nil }} }

// Stall says nothing more until the client gives up or the server is closed.
func Stall() Effect { return Delay(365 * 24 * time.Hour) }

// CutAfter breaks the connection behind so many bytes of the body of the answer.
func CutAfter(bytes int) Effect {
	return Effect{func(x *reply) error { x.cut, x.room = true, bytes; return nil }}
}

// injectedError is a refusal that a fault asks for.
type injectedError struct {
	status int
	pause  time.Duration
}

func (e *injectedError) Error() string {
	return fmt.Sprintf("server: status %d by an injected fault", e.status)
}

// opOf returns the class of a request. A preflight has none, and no fault strikes it.
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
