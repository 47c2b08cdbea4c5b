package s2

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/h2"
)

// heartbeat is a frame that names the tail 5.
var heartbeat = []byte{0, 0, 5, 0, 0x12, 2, 8, 5}

// watching makes a watch at 5 that stands, and whose request never leaves. The function tells whether the reader was woken.
func watching(t *testing.T) (w *tailWatch, woken func() bool) {
	s := &Stream{incarnation: new(incarnation), cfg: streamConfig{silence: time.Minute}}
	w = &tailWatch{stream: s, next: 5}
	w.silence = time.AfterFunc(s.cfg.silence, w.endSilent)
	w.request = h2.NewPool(new(http.Transport), time.Second, pingAfter).Start(
		func(context.Context) (*http.Request, error) { return nil, errors.New("not sent") }, nobody{})
	if w.rely(func() { t.Error("woken by a watch that does not stand") }) {
		t.Fatal("a watch stands before the server has said so")
	}
	var wakes atomic.Int64
	if !w.Data(heartbeat) || !w.rely(func() { wakes.Add(1) }) {
		t.Fatal("the watch does not stand after a heartbeat")
	}
	return w, func() bool { return wakes.Load() == 1 }
}

type nobody struct{}

func (nobody) Data([]byte) bool  { return false }
func (nobody) Ended(error, bool) {}

func TestWatchEndsAfterSilenceAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, woken := watching(t)
		for range 100 {
			time.Sleep(time.Minute - time.Nanosecond)
			if !w.Data(heartbeat) {
				t.Fatal("a heartbeat has ended the watch")
			}
		}
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		if woken() {
			t.Fatal("woken too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if _, lost := w.state(); !woken() || lost == nil {
			t.Errorf("after the silence: woken %v, %v", woken(), lost)
		}
		if w.Data(heartbeat) || w.stream.incarnation.sessions != 0 {
			t.Errorf("a watch that is over goes on; %d sessions count", w.stream.incarnation.sessions)
		}
	})
}

// A stream counts as seen when the last heartbeat came, and not when the loss of the connection was noticed.
func TestLostWatchProvesTheStreamUpToItsLastHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, woken := watching(t)
		heard := time.Now()
		time.Sleep(30 * time.Second)
		w.Ended(errors.New("cut"), true)
		if last := w.stream.incarnation.last; !woken() || !last.Equal(heard) {
			t.Errorf("woken %v, the stream was seen at %v, want %v", woken(), last, heard)
		}
		w.Ended(errors.New("again"), true)
	})
}

// FuzzWatch: wherever the network cuts the bytes of the server, a watch goes on for the same bytes, and only for heartbeats at its
// place.
func FuzzWatch(f *testing.F) {
	f.Add(append(heartbeat, heartbeat...), uint8(3))
	f.Add([]byte{0, 0, 1, 0, 0, 0, 5, 0, 0x12, 2, 8, 6}, uint8(5))
	f.Add([]byte{0, 0, 5, 0x90, 0x12, 2, 8, 5}, uint8(1))
	f.Add([]byte{0, 0, 9, 0, 0x0a, 4, 8, 5, 0x22, 0, 0x12, 0}, uint8(9))
	f.Fuzz(func(t *testing.T, said []byte, cut uint8) {
		at := min(int(cut), len(said))
		hear := func(parts ...[]byte) bool {
			w := &tailWatch{next: 5}
			for _, p := range parts {
				w.part = append(w.part, p...)
				if _, quiet := w.heartbeats(); !quiet {
					return false
				}
			}
			return true
		}
		quiet := hear(said)
		if cutQuiet := hear(said[:at], said[at:]); cutQuiet != quiet {
			t.Errorf("quiet %v, and cut at %d: %v", quiet, at, cutQuiet)
		}
		for rest := said; quiet; {
			flags, payload, behind, whole := s2s.Cut(rest)
			if !whole {
				break
			}
			if flags&0xf0 != 0 || len(payload) > 0 && payload[0] == 0x0a {
				t.Errorf("% x counts as a heartbeat", rest)
			}
			rest = behind
		}
	})
}
