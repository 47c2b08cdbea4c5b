package s2test

import (
	"time"

	"github.com/headrace/headrace/backend/s2/server"
)

// The types of faults are those of package server.
type (
	// A Fault is something that goes wrong on purpose: see [server.Fault].
	Fault = server.Fault
	// An Injection is a Fault that was injected.
	Injection = server.Injection
	// An Effect is what a Fault does.
	Effect = server.Effect
	// An Op is a class of requests. Ops are combined with |.
	Op = server.Op
	// A Stage is a moment in the handling of a request.
	Stage = server.Stage
)

// The classes of requests: see [server.Op].
const (
	AppendSession = server.AppendSession
	ReadSession   = server.ReadSession
	UnaryAppend   = server.UnaryAppend
	UnaryRead     = server.UnaryRead
	EventRead     = server.EventRead
	CheckTail     = server.CheckTail
	StreamCall    = server.StreamCall
	AccountCall   = server.AccountCall
	AnyAppend     = server.AnyAppend
	AnyRead       = server.AnyRead
)

// The stages: see [server.Stage].
const (
	Arrived  = server.Arrived
	Received = server.Received
	Replying = server.Replying
)

// Always makes a Fault strike until it is removed.
const Always = server.Always

// Status makes the request fail with a status and an error code of S2: see [server.Status].
func Status(status int, code string) Effect { return server.Status(status, code) }

// RetryAfter does what [Status] does, and also asks the client for a pause.
func RetryAfter(status int, code string, pause time.Duration) Effect {
	return server.RetryAfter(status, code, pause)
}

// Drop breaks the connection and all requests on it: see [server.Drop].
func Drop() Effect { return server.Drop() }

// Reset ends only this request: see [server.Reset].
func Reset() Effect { return server.Reset() }

// End ends the answer as if it were complete, even if acks or records are missing.
func End() Effect { return server.End() }

// Stall sends nothing more, until the client gives up or the server is closed.
func Stall() Effect { return server.Stall() }

// Delay waits for d, and then goes on.
func Delay(d time.Duration) Effect { return server.Delay(d) }

// GoAway announces to the client: the connection takes no new HTTP/2 streams.
func GoAway() Effect { return server.GoAway() }

// AdviseReconnect sets the flag of this name on the frame under way.
func AdviseReconnect() Effect { return server.AdviseReconnect() }

// Frame sends raw in place of the frame that is due.
func Frame(raw []byte) Effect { return server.Frame(raw) }

// Rewrite sends f(frame) in place of the frame that is due.
func Rewrite(f func(frame []byte) []byte) Effect { return server.Rewrite(f) }

// CutAfter breaks the connection after the server has sent so many more bytes.
func CutAfter(bytes int) Effect { return server.CutAfter(bytes) }
