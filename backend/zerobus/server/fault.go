package server

import (
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
	Opening   Stage = iota // the RPC has come; no headers are sent
	Creating               // the create request is good; no response is sent
	Receiving              // a record or batch has come; nothing of it is checked or stored
	Stored                 // a record or batch is stored; it is not acknowledged
	Closing                // the client has sent all; the last acks are not sent
)

// An Op is a class of requests. All faults of this server strike the one RPC that ingests; those of the OAuth endpoint are
// [TokenFault].
type Op uint16

// Ingest is the RPC of the protocol.
const Ingest Op = 1

// A Fault is something that goes wrong on purpose, for the streams on one table or on all. Its zero Stage is Opening, and its
// zero Times is once.
//
//	lost ack:      {Stage: Stored, Do: Drop()}
//	lost record:   {Stage: Receiving, Do: Drop()}
//	slow ack:      {Stage: Stored, Do: Delay(d), Times: Always}
//	early end:     {Stage: Receiving, Skip: 10, Do: EOF()}
//	silent server: {Stage: Creating, Do: Stall()}
type Fault = fault.Fault[Op, Stage, Effect]

// An Injection is a Fault at work.
type Injection = fault.Injection

// Always makes a Fault strike until it is removed.
const Always = fault.Always

// An Effect is what a Fault does.
type Effect struct {
	// run returns whether it took the place of what the server would have done, and the end of the stream.
	run func(*stream) (bool, error)
}

// Delay waits for d and goes on. Meanwhile nothing is read from the stream.
func Delay(d time.Duration) Effect {
	return Effect{func(st *stream) (bool, error) { return false, st.wait(st.rpc.Context(), d) }}
}

// Stall says nothing more until the client has gone.
func Stall() Effect {
	return Effect{func(st *stream) (bool, error) {
		<-st.rpc.Context().Done()
		return true, st.rpc.Context().Err()
	}}
}

// Status ends the stream with a status.
func Status(code codes.Code, msg string, details ...protoadapt.MessageV1) Effect {
	s := status.New(code, msg)
	if len(details) > 0 {
		if d, err := s.WithDetails(details...); err == nil { // fails for OK alone, which has none
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
		st.listen.cut(st.peer)
		<-st.rpc.Context().Done()
		return true, st.rpc.Context().Err()
	}}
}

// Reply sends the bytes of an EphemeralStreamResponse, right or wrong, instead of what is due. No bytes are a response
// with nothing in it.
func Reply(msg []byte) Effect {
	return Effect{func(st *stream) (bool, error) { return true, st.send(msg, Event{Kind: Replied, Offset: -1}) }}
}

// NoStreamID answers a create without the id of the stream.
func NoStreamID() Effect { return Reply(created("")) }

// Silence leaves out what is due: the response, the storing or the ack. If a request is not stored, the next request has the wrong
// offset, and is refused with OUT_OF_RANGE.
func Silence() Effect { return Effect{func(*stream) (bool, error) { return true, nil }} }

// Ack acknowledges up to an offset instead of what is due. It does not matter what is stored, or was acknowledged before.
func Ack(offset int64) Effect {
	return Effect{func(st *stream) (bool, error) {
		return true, st.send(acked(offset), Event{Kind: Acked, Offset: offset})
	}}
}

// AckAhead acknowledges up to n offsets behind what is stored, instead of what is due. Below 0, it acknowledges fewer offsets than
// are stored.
func AckAhead(n int64) Effect {
	return Effect{func(st *stream) (bool, error) {
		st.mu.Lock()
		defer st.mu.Unlock()
		return true, st.sendLocked(acked(st.stored+n), Event{Kind: Acked, Offset: st.stored + n})
	}}
}

// AckWithoutOffset sends an ack that does not say up to where, instead of what is due.
func AckWithoutOffset() Effect { return Reply(response(2, nil)) }

// CloseSignal asks the client to go within d and goes on; below 0 the signal has no duration.
func CloseSignal(d time.Duration) Effect {
	return Effect{func(st *stream) (bool, error) { return false, st.signal(d) }}
}

// Then does one effect after another, until one ends the stream.
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

// CutAfter breaks the TCP connection of the stream behind so many more bytes from the server, those of HTTP/2 itself included,
// and goes on until then.
func CutAfter(bytes int) Effect {
	return Effect{func(st *stream) (bool, error) { st.listen.cutAfter(st.peer, bytes); return false, nil }}
}

// Inject puts a fault to work. Of several faults that fit the same moment, the one that was injected first strikes.
func (s *Server) Inject(f Fault) *Injection { return s.faults.Inject(f) }

// Heal removes all faults and scripts.
func (s *Server) Heal() {
	s.faults.Clear()
	s.scripts.clear()
}

// stage does what the faults say.
func (st *stream) stage(at Stage) (bool, error) {
	if e, struck := st.srv.faults.Strike(Ingest, st.named, at); struck {
		return e.run(st)
	}
	return false, nil
}

// Signal asks the clients of a table's streams, or of all for "", to go within d.
func (s *Server) Signal(table string, d time.Duration) { s.act(table, CloseSignal(d)) }

// End does an effect on a table's streams, or on all for "", whatever they are doing.
func (s *Server) End(table string, a Effect) { s.act(table, a) }

func (s *Server) act(table string, a Effect) {
	for _, st := range s.log.live(table) {
		if _, err := a.run(st); err != nil {
			st.finish(err)
		}
	}
}
