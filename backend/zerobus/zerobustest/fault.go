package zerobustest

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
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

// A Fault acts at a stage, after it was reached Skip times, as often as Times says: 0 is once, below 0 for ever. The first
// of several that fit acts.
type Fault struct {
	Table string // "": any
	Stage Stage
	Skip  int
	Times int
	Do    Action
}

// An Action is what a fault does.
type Action struct {
	// run returns whether it took the place of what the server would have done, and the end of the stream.
	run func(*stream) (bool, error)
}

// Delay waits for d and goes on. Meanwhile nothing is read from the stream.
func Delay(d time.Duration) Action {
	return Action{func(st *stream) (bool, error) { return false, st.wait(st.rpc.Context(), d) }}
}

// Hang does nothing until the client has gone.
func Hang() Action {
	return Action{func(st *stream) (bool, error) {
		<-st.rpc.Context().Done()
		return true, st.rpc.Context().Err()
	}}
}

// Fail ends the stream with a status.
func Fail(code codes.Code, msg string, details ...protoadapt.MessageV1) Action {
	s := status.New(code, msg)
	if len(details) > 0 {
		if d, err := s.WithDetails(details...); err == nil { // fails for OK alone, which has none
			s = d
		}
	}
	return Action{func(*stream) (bool, error) {
		if s.Code() == codes.OK {
			return true, errEOF
		}
		return true, s.Err()
	}}
}

// EOF ends the stream with OK.
func EOF() Action { return Action{func(*stream) (bool, error) { return true, errEOF }} }

// Drop resets the TCP connection of the stream.
func Drop() Action {
	return Action{func(st *stream) (bool, error) {
		st.listen.cut(st.peer)
		<-st.rpc.Context().Done()
		return true, st.rpc.Context().Err()
	}}
}

// Reply sends the bytes of an EphemeralStreamResponse, right or wrong, instead of what is due. No bytes are a response
// with nothing in it.
func Reply(msg []byte) Action {
	return Action{func(st *stream) (bool, error) { return true, st.send(msg, Event{Kind: Replied, Offset: -1}) }}
}

// NoStreamID answers a create without the id of the stream.
func NoStreamID() Action { return Reply(created("")) }

// Silence leaves out what is due: the response, the storing, the ack. A request that is not stored leaves a gap behind
// which the next one is OUT_OF_RANGE.
func Silence() Action { return Action{func(*stream) (bool, error) { return true, nil }} }

// Ack acknowledges up to an offset, whatever was sent and acknowledged, instead of what is due.
func Ack(offset int64) Action {
	return Action{func(st *stream) (bool, error) {
		return true, st.send(acked(offset), Event{Kind: Acked, Offset: offset})
	}}
}

// AckAhead acknowledges n past (or, below 0, before) what is stored, instead of what is due.
func AckAhead(n int64) Action {
	return Action{func(st *stream) (bool, error) {
		st.mu.Lock()
		defer st.mu.Unlock()
		return true, st.sendLocked(acked(st.stored+n), Event{Kind: Acked, Offset: st.stored + n})
	}}
}

// AckWithoutOffset sends an ack that does not say up to where, instead of what is due.
func AckWithoutOffset() Action { return Reply(response(2, nil)) }

// CloseSignal asks the client to go within d and goes on; below 0 the signal has no duration.
func CloseSignal(d time.Duration) Action {
	return Action{func(st *stream) (bool, error) { return false, st.signal(d) }}
}

// Then does one action after another, until one ends the stream.
func Then(actions ...Action) Action {
	return Action{func(st *stream) (bool, error) {
		done := false
		for _, a := range actions {
			d, err := a.run(st)
			done = done || d
			if err != nil {
				return done, err
			}
		}
		return done, nil
	}}
}

type faults struct {
	mu      sync.Mutex
	list    []*Fault
	scripts map[string]*script
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
}

// Heal removes all faults and scripts.
func (s *Server) Heal() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list, s.faults.scripts = nil, nil
}

// stage does what the faults say.
func (st *stream) stage(at Stage) (bool, error) {
	if a := st.srv.faults.due(st.named, at); a.run != nil {
		return a.run(st)
	}
	return false, nil
}

func (fs *faults) due(table string, at Stage) Action {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var found Action
	for i := 0; i < len(fs.list); i++ {
		f := fs.list[i]
		switch {
		case f.Stage != at || f.Table != "" && f.Table != table:
		case f.Skip > 0: // they all count, also behind the one that acts
			f.Skip--
		case found.run == nil:
			found = f.Do
			if f.Times == 0 || f.Times == 1 {
				fs.list = append(fs.list[:i:i], fs.list[i+1:]...)
				i--
			} else if f.Times > 1 {
				f.Times--
			}
		}
	}
	return found
}

// Signal asks the clients of a table's streams, or of all for "", to go within d.
func (s *Server) Signal(table string, d time.Duration) { s.act(table, CloseSignal(d)) }

// End does an action on a table's streams, or on all for "", whatever they are doing.
func (s *Server) End(table string, a Action) { s.act(table, a) }

func (s *Server) act(table string, a Action) {
	for _, st := range s.log.live(table) {
		if _, err := a.run(st); err != nil {
			st.finish(err)
		}
	}
}
