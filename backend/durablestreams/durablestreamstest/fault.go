package durablestreamstest

import (
	"time"

	"github.com/headrace/headrace/backend/durablestreams/server"
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
	CreateCall   = server.CreateCall
	AppendCall   = server.AppendCall
	CatchUpRead  = server.CatchUpRead
	LongPollRead = server.LongPollRead
	EventRead    = server.EventRead
	HeadCall     = server.HeadCall
	DeleteCall   = server.DeleteCall
	AnyRead      = server.AnyRead
)

// The stages: see [server.Stage].
const (
	Arrived  = server.Arrived
	Received = server.Received
	Replying = server.Replying
)

// Always makes a Fault strike until it is removed.
const Always = server.Always

// Status refuses the request with a status.
func Status(code int) Effect { return server.Status(code) }

// RetryAfter does what [Status] does, and also asks the client for a pause, in whole seconds.
func RetryAfter(code int, pause time.Duration) Effect { return server.RetryAfter(code, pause) }

// Drop breaks the connection.
func Drop() Effect { return server.Drop() }

// Delay waits for d, and then goes on.
func Delay(d time.Duration) Effect { return server.Delay(d) }

// Stall sends nothing more, until the client gives up or the server is closed.
func Stall() Effect { return server.Stall() }

// CutAfter breaks the connection after so many bytes of the body of the answer.
func CutAfter(bytes int) Effect { return server.CutAfter(bytes) }
