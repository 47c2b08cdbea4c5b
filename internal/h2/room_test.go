package h2

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// The rest of a Write waits for room, and so does the next caller, for the end of that Write. Room that the server gives once
// must reach the rest, whoever has waited for longer.
func TestRoomReachesTheRestOfAWriteWhileTheNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(new(script), 0)
		s.window = 0
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if !s.Claim() {
			t.Fatal("no claim")
		}
		rest, err := s.Write(ended, make([]byte, HeadRoom+100))
		if len(rest) != HeadRoom+100 || err != nil {
			t.Fatalf("a rest of %d bytes, %v", len(rest), err)
		}
		next, written := make(chan error, 1), make(chan error, 1)
		go func() { next <- s.Ready(t.Context()) }()
		synctest.Wait()
		go func() {
			_, err := s.Write(t.Context(), rest)
			written <- err
		}()
		synctest.Wait()
		if err := s.grow(requestStream, []byte{0, 0, 1, 0}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for who, ended := range map[string]chan error{"the rest": written, "the next": next} {
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("%s: %v", who, err)
				}
			default:
				t.Errorf("%s still waits", who)
			}
		}
		s.Close() // or a failed test would wait for its goroutines for ever
	})
}

// The end of the body and the end of the stream reach a caller that waits for the Write before.
func TestTheEndReachesTheNextWhileAWriteWaits(t *testing.T) {
	for want, end := range map[error]func(*Stream){
		errFinished: (*Stream).Finish,
		errClosed:   func(s *Stream) { s.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStream(new(script), 0)
			s.window = 0
			if !s.Claim() {
				t.Fatal("no claim")
			}
			written := make(chan error, 1)
			go func() {
				_, err := s.Write(t.Context(), make([]byte, HeadRoom+100))
				written <- err
			}()
			synctest.Wait()
			next := make(chan error, 1)
			go func() { next <- s.Ready(t.Context()) }()
			synctest.Wait()
			end(s)
			if err := <-next; !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			s.Close()
			if err := <-written; !errors.Is(err, errClosed) {
				t.Errorf("the Write: %v", err)
			}
		})
	}
}
