package h2

const (
	// mostCollected is the largest data that Collect takes: one frame for any server. A larger Write pays for its own call of the
	// operating system.
	mostCollected = leastMaxFrame

	// mostQueued bounds the outbox for Collect. With 64 KiB, a session that gets batches of 10 KiB sent a tenth fewer records a second.
	mostQueued = 128 << 10
)

// Collect is a Write that does not wait. If data is small and there is room for data, Collect copies data and returns true. Another
// goroutine then writes data, together with all other data that Collect has taken meanwhile. Otherwise Collect returns false, and
// the caller must call Write.
//
// Collect is for data behind other data that the server has not answered. A lone message would wait for the start of a goroutine, and
// reach the server later than with Write.
func (s *Stream) Collect(data []byte) bool {
	n := int64(len(data) - HeadRoom)
	s.mu.Lock()
	taken := s.ended == nil && n <= min(mostCollected, s.window, s.common) && s.out.size()+len(data) <= mostQueued
	if taken {
		s.window -= n
		s.common -= n
		putHead(data, int(n), frameData, 0, requestStream)
		s.out.claims++
		s.postLocked(data)
	}
	s.mu.Unlock()
	if taken {
		s.release()
	}
	return taken
}

func (o *outbox) size() int {
	if o.frames == nil {
		return 0
	}
	return len(*o.frames)
}
