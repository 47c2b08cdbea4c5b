package zerobustest

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"

	"github.com/headrace/headrace/backend/zerobus/server"
)

// The words of faults are those of package server.
type (
	// A Fault is something that goes wrong on purpose: see [server.Fault].
	Fault = server.Fault
	// A TokenFault is an answer of the OAuth endpoint other than a token.
	TokenFault = server.TokenFault
	// An Injection is a fault at work.
	Injection = server.Injection
	// An Effect is what a Fault does.
	Effect = server.Effect
	// A Stage is a moment in the life of a stream.
	Stage = server.Stage
	// A Step is one thing that a scripted table answers.
	Step = server.Step
)

// The stages: see [server.Stage].
const (
	Opening   = server.Opening
	Creating  = server.Creating
	Receiving = server.Receiving
	Stored    = server.Stored
	Closing   = server.Closing
)

// Always makes a Fault strike until it is removed.
const Always = server.Always

// Status ends the stream with a status.
func Status(code codes.Code, msg string, details ...protoadapt.MessageV1) Effect {
	return server.Status(code, msg, details...)
}

// EOF ends the stream with OK.
func EOF() Effect { return server.EOF() }

// Drop resets the TCP connection of the stream.
func Drop() Effect { return server.Drop() }

// Delay waits for d and goes on.
func Delay(d time.Duration) Effect { return server.Delay(d) }

// Stall says nothing more until the client has gone.
func Stall() Effect { return server.Stall() }

// CutAfter breaks the TCP connection of the stream behind so many more bytes from the server.
func CutAfter(bytes int) Effect { return server.CutAfter(bytes) }

// Reply sends the bytes of an EphemeralStreamResponse, right or wrong, instead of what is due.
func Reply(msg []byte) Effect { return server.Reply(msg) }

// NoStreamID answers a create without the id of the stream.
func NoStreamID() Effect { return server.NoStreamID() }

// Silence leaves out what is due: the response, the storing, the ack.
func Silence() Effect { return server.Silence() }

// Ack acknowledges up to an offset, whatever was sent, instead of what is due.
func Ack(offset int64) Effect { return server.Ack(offset) }

// AckAhead acknowledges n past (or, below 0, before) what is stored, instead of what is due.
func AckAhead(n int64) Effect { return server.AckAhead(n) }

// AckWithoutOffset sends an ack that does not say up to where, instead of what is due.
func AckWithoutOffset() Effect { return server.AckWithoutOffset() }

// CloseSignal asks the client to go within d and goes on.
func CloseSignal(d time.Duration) Effect { return server.CloseSignal(d) }

// Then does one effect after another, until one ends the stream.
func Then(effects ...Effect) Effect { return server.Then(effects...) }

// StepCreate answers a create with the id, after the delay.
func StepCreate(id string, delay time.Duration) Step { return server.StepCreate(id, delay) }

// StepAck acknowledges up to an offset when the request with exactly that offset has come, after the delay.
func StepAck(offset int64, delay time.Duration) Step { return server.StepAck(offset, delay) }

// StepSignal asks the client to go within d when the next request has come, after the delay.
func StepSignal(d, delay time.Duration) Step { return server.StepSignal(d, delay) }

// StepFail ends the stream with a status when the next request has come, or instead of the response to a create.
func StepFail(code codes.Code, msg string, delay time.Duration) Step {
	return server.StepFail(code, msg, delay)
}
