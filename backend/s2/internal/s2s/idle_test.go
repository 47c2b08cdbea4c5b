package s2s

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
)

// A waiting is a source without bytes for now. It notes what its Reader holds meanwhile.
type waiting struct {
	before io.Reader
	r      *Reader
	held   int
}

var errWaiting = errors.New("no bytes for now")

func (w *waiting) Read(p []byte) (int, error) {
	if n, err := w.before.Read(p); err == nil {
		return n, nil
	}
	w.held = len(w.r.buf)
	if w.r.lent != nil {
		w.held += len(w.r.lent)
	}
	return 0, errWaiting
}

// A session at the end of its stream waits for days, and holds no memory for the large frames that came before.
func TestAWaitingReaderHoldsItsSmallBufferAlone(t *testing.T) {
	for _, n := range []int{0, 100, aheadFirst, 70_000, aheadMost, MaxPayload} {
		frames := bytes.Repeat(seal(t, None, make([]byte, n)), 3)
		for name, next := range map[string]func(*Reader) (Flags, []byte, error){"Next": (*Reader).Next, "Borrow": (*Reader).Borrow} {
			w := &waiting{before: bytes.NewReader(frames)}
			w.r = NewReader(w)
			for range 3 {
				if _, p, err := next(w.r); err != nil || len(p) != n {
					t.Fatalf("%s: %d bytes of %d, %v", name, len(p), n, err)
				}
			}
			if _, _, err := next(w.r); !errors.Is(err, errWaiting) || w.held != aheadFirst {
				t.Errorf("%s behind payloads of %d bytes: %d bytes held, want %d; %v", name, n, w.held, aheadFirst, err)
			}
		}
	}
}

// A Coder holds no encoder and no decoder between two payloads.
func TestCodersWithoutWorkHoldNoMemory(t *testing.T) {
	const coders = 100
	plain := make([]byte, 100_000)
	frame := append(make([]byte, HeaderSize), plain...)
	var client Coders
	all := make([]*Coder, coders)
	before := heap()
	for i := range all {
		var err error
		if all[i], err = client.New(Zstd); err != nil {
			t.Fatal(err)
		}
		sealed, compressed, err := all[i].Seal(frame, nil, 0)
		if err != nil || !compressed {
			t.Fatalf("compressed %v, %v", compressed, err)
		}
		got, err := all[i].Open(Flags(sealed[3]), sealed[HeaderSize:])
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes come back, %v", len(got), err)
		}
	}
	if held := (heap() - before) / coders; held > 64<<10 {
		t.Errorf("a Coder without work holds %d bytes", held)
	}
	runtime.KeepAlive(all)
	runtime.KeepAlive(&client)
}

// heap returns the bytes of the heap in use, without what the pools hold.
func heap() int {
	for range 3 { // pools need two collections to become empty
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
