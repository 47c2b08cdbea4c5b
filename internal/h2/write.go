package h2

import (
	"context"
	"errors"
	"os"
	"time"
)

// Ready waits until the Write before is complete and the server has given room for more. Without room, a Write would begin
// and stand still, and the caller could not take the data back any more.
func (s *Stream) Ready(ctx context.Context) error {
	// The room is not reserved. The caller is the only writer, so the room cannot become less before the Write, except by
	// SETTINGS.
	return s.admit(ctx, true)
}

// Claim reserves the stream for one Write or Collect, which must follow. Claim returns false if nothing more can be written: the stream
// or the body has ended.
func (s *Stream) Claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Behind the end of the body, the protocol allows no DATA. The check and the claim are one step, so that Finish sees the
	// claim, or the claim sees Finish.
	if s.ended != nil || s.finishing {
		return false
	}
	s.writing = true
	return true
}

// Write sends data[HeadRoom:] from the caller's memory, and changes data. Write waits for room. If ctx ends during the wait,
// Write returns the rest of data, again with HeadRoom bytes in front. The caller must call Write with the rest: the beginning
// has left, and the claim lasts. After an error, data has not left whole. Nothing more can be written then, but Read still returns what the
// server has sent, for up to lastWords.
func (s *Stream) Write(ctx context.Context, data []byte) (rest []byte, err error) {
	rest, err = s.write(ctx, data)
	if err == nil && rest != nil {
		// The claim stays, and so does the note that the body ends behind the data: the Write of the rest does both.
		return rest, nil
	}
	s.release()
	return nil, err
}

// release ends a claim.
func (s *Stream) release() {
	s.mu.Lock()
	// The end of the claim and the look at finishing are one step. Otherwise a Finish in between would leave the end of the
	// body to release, and release would not see the wish: the server would wait for more for ever.
	s.writing, s.partly = false, false
	finish := s.finishing && s.ended == nil
	s.mu.Unlock()
	wake(s.idle)
	if finish {
		s.sendEnd()
	}
}

func (s *Stream) write(ctx context.Context, data []byte) (rest []byte, err error) {
	for at := HeadRoom; at < len(data); {
		err := s.admit(ctx, false)
		switch {
		// The bytes in front of at have left. data begins HeadRoom bytes earlier, and these bytes have left too, or are free
		// room: the next Write may put its head there.
		case err != nil && err == ctx.Err():
			return data[at-HeadRoom:], nil
		case err != nil:
			return nil, err
		}
		n, err := s.sendData(data[at-HeadRoom:])
		if err != nil {
			return nil, err
		}
		at += n
	}
	return nil, nil
}

// admit waits for room. fresh is true before the first byte of a Write has left. Then admit also waits until the Write before is
// complete, and the end of the body ends the wait.
func (s *Stream) admit(ctx context.Context, fresh bool) error {
	for {
		s.mu.Lock()
		room, err := s.roomLocked(), s.ended
		more := s.room
		switch {
		case err == nil && fresh && s.finishing:
			err = errFinished
		// The room belongs to the Write in progress. If both waited for s.room, the token could wake the one that may not write
		// yet, and the Write in progress would sleep on beside free room.
		case fresh && s.writing:
			room, more = 0, s.idle
		}
		s.mu.Unlock()
		if err != nil || room > 0 {
			return err
		}
		select {
		// The token may be an old one, for room that is spent by now. The loop looks again, so an old token costs one turn.
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// roomLocked returns how many bytes may leave at once; 0 or less for none.
func (s *Stream) roomLocked() int64 {
	return min(s.window, s.common, int64(s.maxFrame*s.framesAtOnce), mostData)
}

// spend takes up to n bytes from the windows, before the bytes leave: an update of the server that answers the bytes may come
// before the write has returned. spend also returns the largest payload that the server accepts,
// and the frames that must leave before the bytes.
func (s *Stream) spend(n int) (granted, maxFrame int, before *[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := min(s.roomLocked(), int64(n))
	if room <= 0 {
		return 0, 0, nil
	}
	s.window -= room
	s.common -= room
	// Only the first frame of a claim counts. begun grows before a byte leaves: a count that came later would let the caller
	// take a batch that the server has got for one that never left.
	if !s.partly {
		s.partly = true
		s.begun++
	}
	return int(room), s.maxFrame, s.takeOutboxLocked()
}

// sendData sends the beginning of data[HeadRoom:], as much as there is room for, in one call of the operating system. It returns
// how many bytes have left.
func (s *Stream) sendData(data []byte) (int, error) {
	s.sending.Lock()
	defer s.sending.Unlock()
	// The lock is held from the look at the room to the end of the write. The data keeps to the settings of now, and the ack of newer
	// settings, which may be posted meanwhile, must leave behind the data: see settings.
	whole, maxFrame, before := s.spend(len(data) - HeadRoom)
	if whole == 0 {
		return 0, nil
	}
	s.parts = s.parts[:0]
	if before != nil {
		defer returnFrames(before)
		s.parts = append(s.parts, *before)
	}
	// The head of the first frame overwrites bytes that have left already, or the room in front. So a single frame is one piece of
	// memory, without a copy.
	n := min(maxFrame, whole)
	putHead(data, n, frameData, 0, requestStream)
	s.parts = append(s.parts, data[:HeadRoom+n])
	data = data[HeadRoom+n : HeadRoom+whole]
	if len(data) > 0 && s.heads == nil {
		s.heads = make([]byte, mostFrames*headBytes)
	}
	for head := s.heads; len(data) > 0; head = head[headBytes:] {
		n := min(maxFrame, len(data))
		putHead(head, n, frameData, 0, requestStream)
		s.parts = append(s.parts, head[:headBytes], data[:n])
		data = data[n:]
	}
	return whole, s.sendParts()
}

// sendParts writes whole frames. A slow network may take its time, as long as bytes leave. With TLS, a deadline that has passed
// spoils the connection, so there each frame has to leave in writeWait.
//
// An error means that the frames have not left whole. Nothing is written after an error: the server would take any further byte
// for the rest of the frame that was cut off, and could store the data with the wrong end.
func (s *Stream) sendParts() (err error) {
	defer clear(s.parts) // or an idle stream would hold the memory of its last batch
	if s.cutOff != nil {
		return s.cutOff
	}
	for s.unsent = s.parts; len(s.unsent) > 0; {
		// The deadline starts anew after each part, so a slow network that still moves bytes is not given up.
		if err = s.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
			break
		}
		var n int64
		n, err = s.unsent.WriteTo(s.conn)
		// Some bytes have left within the deadline. The rest must follow: a frame that is cut off cannot be repaired by a new
		// frame.
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			break
		}
	}
	if err == nil {
		return nil
	}
	s.cutOff = err
	s.end(err)
	// The server may have sent acks and its reason before the write failed. If we cut the connection at once, the acks would be
	// lost, and the caller would send stored data again. If the connection is dead, Read ends earlier by itself.
	time.AfterFunc(lastWords, func() { _ = s.Close() })
	// A connection may take all bytes and report an error too. Then the server may have the data, and the caller must not take the
	// data for unsent.
	if len(s.unsent) == 0 {
		return nil
	}
	return err
}

// Finish ends the body of the request, behind the data that was claimed. The response goes on. Finish does not wait for the
// network.
func (s *Stream) Finish() {
	s.mu.Lock()
	// A second end of the body would break the protocol, and the server would reset the request, and with it the answers it
	// owes.
	done := s.finishing || s.ended != nil
	s.finishing = true
	writing := s.writing // Write ends the body itself
	s.mu.Unlock()
	s.wakeBoth()
	if !done && !writing {
		s.sendEnd()
	}
}

func (s *Stream) sendEnd() { s.post(appendFrame(nil, frameData, flagEndStream, requestStream)) }

// Begun returns how many claims have begun to leave: the server may have bytes of their data, and of no other data.
func (s *Stream) Begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}
