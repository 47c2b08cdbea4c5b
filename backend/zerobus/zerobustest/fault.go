package zerobustest

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"

	"github.com/headrace/headrace/backend/zerobus/server"
)

// The types of faults, from package server.
type (
	// A Fault is a failure on purpose: see [server.Fault].
	Fault = server.Fault
	// A TokenFault replaces an answer of the OAuth endpoint.
	TokenFault = server.TokenFault
	// An Injection is a fault that was injected into a server.
	Injection = server.Injection
	// An Effect is what a Fault does.
	Effect = server.Effect
	// A Stage is a moment in the life of a stream.
	Stage = server.Stage
	// A Step is one answer of a scripted table.
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

// Status ends the stream with a gRPC status.
func Status(code codes.Code, msg string, details ...protoadapt.MessageV1) Effect {
	return server.Status(code, msg, details...)
}

// EOF ends the stream with OK.
func EOF() Effect { return server.EOF() }

// Drop resets the TCP connection of the stream.
func Drop() Effect { return server.Drop() }

// Delay waits for d and then goes on.
func Delay(d time.Duration) Effect { return server.Delay(d) }

// Stall sends nothing more until the client has gone.
func Stall() Effect { return server.Stall() }

// CutAfter breaks the TCP connection of the stream after the given number of further bytes from the server.
func CutAfter(bytes int) Effect { return server.CutAfter(bytes) }

// Reply sends the bytes of an EphemeralStreamResponse instead of the server's own answer. The bytes may be malformed.
func Reply(msg []byte) Effect { return server.Reply(msg) }

// NoStreamID answers the create request without a stream id.
func NoStreamID() Effect { return server.NoStreamID() }

// Silence leaves out the server's next step: the response, the storing or the ack.
func Silence() Effect { return server.Silence() }

// Ack acknowledges all requests up to offset, instead of the server's own ack. It does not matter what was stored.
func Ack(offset int64) Effect { return server.Ack(offset) }

// AckAhead acknowledges n offsets more than are stored, or fewer with n below 0, instead of the server's own ack.
func AckAhead(n int64) Effect { return server.AckAhead(n) }

// AckWithoutOffset sends an ack without an offset, instead of the server's own ack.
func AckWithoutOffset() Effect { return server.AckWithoutOffset() }

// CloseSignal asks the client to go within d, and then goes on.
func CloseSignal(d time.Duration) Effect { return server.CloseSignal(d) }

// Then performs several effects in order, until an effect ends the stream.
func Then(effects ...Effect) Effect { return server.Then(effects...) }

// StepCreate answers a create request with the stream id, after the delay.
func StepCreate(id string, delay time.Duration) Step { return server.StepCreate(id, delay) }

// StepAck waits for the request with exactly this offset, and acknowledges up to the offset after the delay.
func StepAck(offset int64, delay time.Duration) Step { return server.StepAck(offset, delay) }

// StepSignal waits for the next request, and asks the client after the delay to go within d.
func StepSignal(d, delay time.Duration) Step { return server.StepSignal(d, delay) }

// StepFail ends the stream with a status, when the next request comes or instead of the response to a create request.
func StepFail(code codes.Code, msg string, delay time.Duration) Step {
	return server.StepFail(code, msg, delay)
}
