package histories

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// usually is how long a plain run of the tests goes through histories.
const usually = 400 * time.Millisecond

// Whatever happens on the way, what the documentation promises about delivery holds.
func TestDeliveryHoldsThroughRandomHistories(t *testing.T) {
	length, seed, one := settings(t)
	n := &counts{}
	begun := time.Now()
	for first := seed; !t.Failed(); seed++ {
		live(t, seed, n)
		if one || seed > first && time.Since(begun) > length { // at least one of each kind in a row of seeds
			break
		}
	}
	t.Logf("up to seed %d in %v: %s", seed, time.Since(begun).Round(time.Millisecond), n)
}

// settings reads the environment: how long to go on, and the seed to begin with or to run alone.
func settings(t *testing.T) (length time.Duration, seed uint64, one bool) {
	length, seed = usually, uint64(time.Now().UnixNano())/1e6*boltEvery // begins with a bolt file
	var err error
	if text := os.Getenv("HEADRACE_HISTORIES"); text != "" {
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("HEADRACE_HISTORIES: %v", err)
		}
	}
	if text := os.Getenv("HEADRACE_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("HEADRACE_SEED: %v", err)
		}
		one = true
	}
	t.Logf("seed %d", seed)
	return length, seed, one
}

// boltEvery says that every sixth seed is of a stream on a file: such a history takes longer than one in memory.
const boltEvery = 6

// live runs the history of one seed.
func live(t *testing.T, seed uint64, n *counts) {
	if seed%boltEvery == 0 {
		h := newHistory(t, seed, n)
		h.world = newFileWorld(h)
		h.run()
		if err := goleak.Find(); err != nil {
			h.errorf("goroutines are left: %v", err)
		}
		return
	}
	synctest.Test(t, func(t *testing.T) { // which finds goroutines that are left by itself
		h := newHistory(t, seed, n)
		h.world = newMemoryWorld(h)
		h.run()
	})
}
