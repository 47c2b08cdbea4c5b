package server

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/headrace/headrace/internal/fault"
)

// A Stage is a moment in the life of a stream at which a [Fault] may act.
type Stage int

// The stages of a stream.
const (
	Opening   Stage = iota // the RPC has begun; the server has sent no headers
	Creating               // the create request is valid; the server has sent no response
	Receiving              // a record or batch has arrived; the server has neither checked nor stored it
	Stored                 // a record or batch is stored, and not acknowledged
	Closing                // the client has sent everything; the server has not sent the last acks
)

// An Op is a class of requests. Faults of type [Fault] act on the one RPC for ingestion. [TokenFault] is for the OAuth
// endpoint.
type Op uint16

// Ingest is the protocol's RPC for ingestion.
const Ingest Op = 1

// A Fault is a failure on purpose, for the streams on one table or on all tables. The zero Stage is Opening, and with
// zero Times the fault acts once.
//
//	lost ack:      {Stage: Stored, Do: Drop()}
//	lost record:   {Stage: Receiving, Do: Drop()}
//	slow ack:      {Stage: Stored, Do: Delay(d), Times: Always}
//	early end:     {Stage: Receiving, Skip: 10, Do: EOF()}
//	silent server: {Stage: Creating, Do: Stall()}
type Fault = fault.Fault[Op, Stage, Effect]

// An Injection is a Fault that was injected into a server.
type Injection = fault.Injection

// Always makes a Fault strike until it is removed.
const Always = fault.Always

// An Effect is what a Fault does.
type Effect struct {
	// run performs the effect. It returns true if the server must leave out its own answer, and an error if the stream
	// ends.
	run func(*stream) (bool, error)
}

// Delay waits for d and then goes on. Meanwhile the server reads nothing from the stream, so the flow control stops the
// client when the window is full.
func Delay(d time.Duration) Effect {
	return Effect{func(st *stream) (bool, error) { return false, sleep(st.rpc.Context(), d) }}
}

// sleep waits for d. If ctx ends first, sleep returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stall sends nothing more until the client has gone.
func Stall() Effect {
	return Effect{func(st *stream) (bool, error) {
		// The stream reads nothing meanwhile, as a server that hangs. Only the client, or the end of the server, ends
		// the wait.
		<-st.rpc.Context().Done()
		return true, st.rpc.Context().Err()
	}}
}

// Status ends the stream with a gRPC status.
func Status(code codes.Code, msg string, details ...protoadapt.MessageV1) Effect {
	s := status.New(code, msg)
	if len(details) > 0 {
		if d, err := s.WithDetails(details...); err == nil { // fails only for OK, because OK has no details
			s = d
		}
	}
	return Effect{func(*stream) (bool, error) {
		if s.Code() == codes.OK {
			return true, errEOF
		}
		return true, s.Err()
	}}
}

// EOF ends the stream with OK.
func EOF() Effect { return Effect{func(*stream) (bool, error) { return true, errEOF }} }

// Drop resets the TCP connection of the stream.
func Drop() Effect {
	return Effect{func(st *stream) (bool, error) {
		// gRPC notices the cut a moment later. We wait, so that the stream stores and sends nothing in between.
		reset(st.conn.Conn)
		<-st.rpc.Context().Done()
		return true, st.rpc.Context().Err()
	}}
}

// Reply sends the bytes of an EphemeralStreamResponse instead of the server's own answer. The bytes may be malformed.
// No bytes are an empty response.
func Reply(msg []byte) Effect {
	return Effect{func(st *stream) (bool, error) { return true, st.send(msg, Event{Kind: Replied, Offset: -1}) }}
}

// NoStreamID answers the create request without a stream id.
func NoStreamID() Effect { return Reply(created("")) }

// Silence leaves out the server's next step: the response, the storing or the ack. If a request is not stored, the next
// request has the wrong offset, and is refused with OUT_OF_RANGE.
func Silence() Effect { return Effect{func(*stream) (bool, error) { return true, nil }} }

// Ack acknowledges all requests up to offset, instead of the server's own ack. It does so even if the server has stored
// less, or has acknowledged more before.
func Ack(offset int64) Effect {
	return Effect{func(st *stream) (bool, error) {
		return true, st.send(acked(offset), Event{Kind: Acked, Offset: offset})
	}}
}

// AckAhead acknowledges n offsets more than are stored, instead of the server's own ack. With n below 0, it
// acknowledges fewer offsets than are stored.
func AckAhead(n int64) Effect {
	return Effect{func(st *stream) (bool, error) {
		st.mu.Lock()
		defer st.mu.Unlock()
		// st.acked does not move. A lie of a fault must not keep the server from sending its own acks later.
		return true, st.sendLocked(acked(st.stored+n), Event{Kind: Acked, Offset: st.stored + n})
	}}
}

// AckWithoutOffset sends an ack without an offset, instead of the server's own ack.
func AckWithoutOffset() Effect { return Reply(response(2, nil)) }

// CloseSignal asks the client to go within d, and then goes on. With d below 0 the signal has no duration.
func CloseSignal(d time.Duration) Effect {
	return Effect{func(st *stream) (bool, error) { return false, st.signal(d) }}
}

// Then performs several effects in order, until an effect ends the stream.
func Then(effects ...Effect) Effect {
	return Effect{func(st *stream) (bool, error) {
		done := false
		for _, a := range effects {
			d, err := a.run(st)
			done = done || d
			if err != nil {
				return done, err
			}
		}
		return done, nil
	}}
}

// CutAfter breaks the TCP connection of the stream after the given number of further bytes from the server. The bytes
// of HTTP/2 itself count too. Until then the stream goes on.
func CutAfter(bytes int) Effect {
	return Effect{func(st *stream) (bool, error) { st.conn.cutAfter(bytes); return false, nil }}
}

// Inject adds a fault. If several faults fit the same moment, the fault that was injected first acts.
func (s *Server) Inject(f Fault) *Injection { return s.faults.Inject(f) }

// Heal removes all faults, those of the OAuth endpoint too, and all scripts.
func (s *Server) Heal() {
	s.faults.Clear()
	s.tokens.faults.Clear()
	s.scripts.clear()
}

// stage performs the fault that acts on the stream at this stage, if there is one. stage returns true if the server
// must leave out its own next step. No lock is held meanwhile: a fault may wait for seconds, and other streams must go
// on.
func (st *stream) stage(at Stage) (bool, error) {
	// The table is that of the headers, because at Opening there is no create request yet.
	if e, struck := st.srv.faults.Strike(Ingest, st.named, at); struck {
		return e.run(st)
	}
	return false, nil
}

// Signal asks the clients of all open streams on a table to go within d. With the table "" it asks the clients of all
// open streams. A stream that the server has not confirmed yet is not open, because the protocol allows nothing in
// front of the confirmation: the client would take the signal for a breach of the protocol.
func (s *Server) Signal(table string, d time.Duration) {
	s.act(table, Effect{func(st *stream) (bool, error) {
		st.mu.Lock()
		opened := st.opened
		st.mu.Unlock()
		if !opened {
			return false, nil
		}
		return false, st.signal(d)
	}})
}

// End performs an effect on all streams of a table, or on all streams for "". The effect does not wait for the next
// request.
func (s *Server) End(table string, a Effect) { s.act(table, a) }

// act performs an effect from the goroutine of the caller. The reader of the stream may wait in RecvMsg meanwhile, so
// an effect that ends the stream goes through finish, and not through the reader.
func (s *Server) act(table string, a Effect) {
	for _, st := range s.log.live(table) {
		// The stream may end at this moment. finish and sendLocked then do nothing, so no lock is needed over all
		// streams.
		if _, err := a.run(st); err != nil {
			st.finish(err)
		}
	}
}
