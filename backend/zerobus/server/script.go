package server

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Step is one thing that a scripted table answers.
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

// StepCreate answers a create with the id, after the delay; with "" it answers without one.
func StepCreate(id string, delay time.Duration) Step {
	return Step{kind: stepCreate, id: id, delay: delay}
}

// StepAck acknowledges up to an offset when the request with exactly that offset has come, after the delay. Until then
// the script stays here.
func StepAck(offset int64, delay time.Duration) Step {
	return Step{kind: stepAck, offset: offset, delay: delay}
}

// StepSignal asks the client to go within d when the next request has come, after the delay.
func StepSignal(d, delay time.Duration) Step { return Step{kind: stepSignal, d: d, delay: delay} }

// StepFail ends the stream with a status when the next request has come, or instead of the response to a create.
func StepFail(code codes.Code, msg string, delay time.Duration) Step {
	return Step{kind: stepFail, err: status.Error(code, msg), delay: delay}
}

// Script sets all that a table answers. The steps are used up in order, over all streams of the table. A new stream skips the acks
// and signals that the stream before it has left, and starts at the next create or failure. When no step is left, streams are
// created and nothing is acknowledged. Faults at the stages behind Opening, the ack policy and the rotation do not apply to a
// scripted table. This is how the mock behaves that the tests of the service's own clients use.
func (s *Server) Script(table string, steps ...Step) {
	s.scripts.mu.Lock()
	defer s.scripts.mu.Unlock()
	if s.scripts.of == nil {
		s.scripts.of = map[string]*script{}
	}
	s.scripts.of[table] = &script{steps: steps}
}

// scripts are those of all tables.
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

type script struct {
	mu    sync.Mutex
	steps []Step
}

func (sc *script) create(st *stream) error {
	sc.mu.Lock()
	for len(sc.steps) > 0 && (sc.steps[0].kind == stepAck || sc.steps[0].kind == stepSignal) {
		sc.steps = sc.steps[1:]
	}
	step := Step{kind: stepCreate, id: st.id}
	if len(sc.steps) > 0 {
		step, sc.steps = sc.steps[0], sc.steps[1:]
	}
	sc.mu.Unlock()
	if err := st.wait(st.rpc.Context(), step.delay); err != nil {
		return err
	}
	if step.kind == stepFail {
		return step.err
	}
	st.id = step.id
	st.log.named(st.id)
	return st.send(created(step.id), Event{Kind: Opened, Offset: -1})
}

// ingested does the next step, if a request with this offset allows it. It does one step at most: the steps behind it wait for the
// next request. A create waits for the next stream.
func (sc *script) ingested(st *stream, offset int64) error {
	sc.mu.Lock()
	if len(sc.steps) == 0 || sc.steps[0].kind == stepCreate || sc.steps[0].kind == stepAck && sc.steps[0].offset != offset {
		sc.mu.Unlock()
		return nil
	}
	step := sc.steps[0]
	sc.steps = sc.steps[1:]
	sc.mu.Unlock()
	if err := st.wait(st.rpc.Context(), step.delay); err != nil {
		return err
	}
	switch step.kind {
	case stepAck:
		return st.ack(step.offset)
	case stepSignal:
		return st.signal(step.d)
	}
	return step.err
}
