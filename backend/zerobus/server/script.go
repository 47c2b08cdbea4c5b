package server

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Step is one answer of a scripted table.
//
// One Step says when it happens, by its kind and its offset, and then how late. A script is thus independent of the
// speed of the client.
type Step struct {
	kind   stepKind
	id     string
	offset int64
	d      time.Duration
	err    error
	delay  time.Duration
}

type stepKind uint8

const (
	stepCreate stepKind = iota
	stepAck
	stepSignal
	stepFail
)

// StepCreate answers a create request with the stream id, after the delay. With the id "" the answer has no id.
func StepCreate(id string, delay time.Duration) Step {
	return Step{kind: stepCreate, id: id, delay: delay}
}

// StepAck waits for the request with exactly this offset, and acknowledges up to the offset after the delay. Until the
// request comes, the script does not go on.
func StepAck(offset int64, delay time.Duration) Step {
	return Step{kind: stepAck, offset: offset, delay: delay}
}

// StepSignal waits for the next request, and asks the client after the delay to go within d.
func StepSignal(d, delay time.Duration) Step { return Step{kind: stepSignal, d: d, delay: delay} }

// StepFail ends the stream with a status, when the next request comes or instead of the response to a create request.
func StepFail(code codes.Code, msg string, delay time.Duration) Step {
	return Step{kind: stepFail, err: status.Error(code, msg), delay: delay}
}

// Script sets all answers of a table. The streams of the table use up the steps in order. A new stream skips the acks
// and signals that the stream before has left, and starts at the next create or failure. When no step is left, streams
// are created and nothing is acknowledged. Faults at the stages behind Opening, the ack policy and the rotation do not
// apply to a scripted table. The mock server in the tests of the service's own clients behaves in the same way.
func (s *Server) Script(table string, steps ...Step) {
	s.scripts.mu.Lock()
	defer s.scripts.mu.Unlock()
	if s.scripts.of == nil {
		s.scripts.of = map[string]*script{}
	}
	s.scripts.of[table] = &script{steps: steps}
}

// scripts holds the scripts of all tables.
type scripts struct {
	mu sync.Mutex
	of map[string]*script
}

func (ss *scripts) find(table string) *script {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.of[table]
}

func (ss *scripts) clear() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.of = nil
}

// A script holds the steps that are left. All streams on the table share the steps: a producer that opens another
// stream goes on where its stream before has stopped.
type script struct {
	mu    sync.Mutex
	steps []Step
}

// create answers the create request of a stream with the next step. The lock is not held during the delay of a step,
// because Script and other streams must not wait for it.
func (sc *script) create(st *stream) error {
	sc.mu.Lock()
	// Acks that are left over name offsets of the last stream. On the new stream the same offsets belong to other
	// requests.
	for len(sc.steps) > 0 && (sc.steps[0].kind == stepAck || sc.steps[0].kind == stepSignal) {
		sc.steps = sc.steps[1:]
	}
	// Without a step that is left, the stream gets the id that the server has made.
	step := Step{kind: stepCreate, id: st.id}
	if len(sc.steps) > 0 {
		step, sc.steps = sc.steps[0], sc.steps[1:]
	}
	sc.mu.Unlock()
	if err := sleep(st.rpc.Context(), step.delay); err != nil {
		return err
	}
	if step.kind == stepFail {
		return step.err
	}
	// The id of the step is in the transcript before the client has the id, as in stream.create.
	st.id = step.id
	st.log.named(st.id)
	return st.send(created(step.id), Event{Kind: Opened, Offset: -1})
}

// ingested performs the next step, if a request with this offset allows the step. It performs at most one step: the
// later steps wait for the next request. A create step waits for the next stream.
func (sc *script) ingested(st *stream, offset int64) error {
	sc.mu.Lock()
	// A create step means that the script wants another stream. Until the client opens another, its requests are
	// stored and not acknowledged.
	// A step for another offset stays: the request is stored, and a later request performs the step.
	if len(sc.steps) == 0 || sc.steps[0].kind == stepCreate || sc.steps[0].kind == stepAck && sc.steps[0].offset != offset {
		sc.mu.Unlock()
		return nil
	}
	step := sc.steps[0]
	sc.steps = sc.steps[1:]
	sc.mu.Unlock()
	if err := sleep(st.rpc.Context(), step.delay); err != nil {
		return err
	}
	switch step.kind {
	case stepAck:
		// ack leaves out an ack that goes back. A script cannot break the protocol by mistake; the fault Ack does so
		// on purpose.
		return st.ack(step.offset)
	case stepSignal:
		return st.signal(step.d)
	}
	return step.err
}
