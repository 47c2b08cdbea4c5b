package h2

import (
	"errors"
	"sync"
)

// mostAnswers bounds the answers that wait in the outbox: about 3,800 PINGs. A server that works needs a few.
const mostAnswers = 64 << 10

// An outbox holds whole frames that nobody has begun to write. The lock mu of the Stream guards the outbox.
//
// The goroutine that reads must never write: the server may wait with its reads until we have read, and then neither side would
// go on. So the answers of that goroutine go into the outbox. Small data goes there too, and then leaves in one call of the operating
// system: see Collect. The next writer takes the whole outbox. The writer is flush, or a Write, which puts the outbox in front of its
// own data.
type outbox struct {
	frames   *[]byte // nil: empty; an idle Stream holds no memory for frames
	claims   int     // claims whose data is in frames
	answers  int     // bytes of answers in frames
	flushing bool    // a goroutine is on its way to write frames
}

// outboxes holds memory for frames, for all Streams of the process.
var outboxes = sync.Pool{New: func() any { return new([]byte) }}

// keptFrames is the largest memory that goes back to outboxes.
const keptFrames = 256 << 10

func returnFrames(frames *[]byte) {
	if cap(*frames) <= keptFrames {
		*frames = (*frames)[:0]
		outboxes.Put(frames)
	}
}

var errFlood = errors.New("the server asks for more and more answers, and does not take them")

// post sends frames behind those that were posted before. post does not wait for the network. A failure ends the stream.
func (s *Stream) post(frames []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postLocked(frames)
}

func (s *Stream) postLocked(frames []byte) {
	if s.out.frames == nil {
		s.out.frames = outboxes.Get().(*[]byte)
	}
	*s.out.frames = append(*s.out.frames, frames...)
	if !s.out.flushing {
		s.out.flushing = true
		go func() { _ = s.flush() }()
	}
}

// answer posts the answer to a frame of the server. Without a bound, a server that sends PING after PING and reads nothing would
// fill our memory.
func (s *Stream) answer(frames []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answerLocked(frames)
}

func (s *Stream) answerLocked(frames []byte) error {
	if s.out.answers += len(frames); s.out.answers > mostAnswers {
		return errFlood
	}
	s.postLocked(frames)
	return nil
}

// takeOutboxLocked returns what is in the outbox, or nil, and empties the outbox. The caller holds the lock sending too, and must
// write the frames before anything else.
func (s *Stream) takeOutboxLocked() *[]byte {
	frames := s.out.frames
	// Behind a failed write nothing leaves any more. If the claims counted, the caller would think that the server may have data
	// which has never left.
	if s.cutOff == nil {
		s.begun += s.out.claims
	}
	s.out.frames, s.out.claims, s.out.answers = nil, 0, 0
	return frames
}

// flush writes the outbox until the outbox is empty, and returns why a write has failed, now or before.
func (s *Stream) flush() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	for {
		s.mu.Lock()
		frames := s.takeOutboxLocked()
		if frames == nil {
			// Under the same lock, so that the next post starts a goroutine.
			s.out.flushing = false
			s.mu.Unlock()
			return s.cutOff
		}
		s.mu.Unlock()
		s.parts = append(s.parts[:0], *frames)
		_ = s.sendParts()
		returnFrames(frames)
	}
}
