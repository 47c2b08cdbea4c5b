package backoff

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

type busy struct{ wait time.Duration }

func (b busy) Error() string             { return "busy" }
func (b busy) RetryAfter() time.Duration { return b.wait }

func TestDelayDoublesBetweenBaseAndMax(t *testing.T) {
	p := Policy{Base: 100 * time.Millisecond, Max: time.Second}
	for failures, full := range map[int]time.Duration{1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 40: 1000, 1 << 30: 1000} {
		full *= time.Millisecond
		seen := map[time.Duration]bool{}
		for range 200 {
			d := p.Delay(failures, errors.New("gone"))
			if d < full/2 || d > full {
				t.Fatalf("after %d failures: %v, want %v to %v", failures, d, full/2, full)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures: only %d different delays of 200, want jitter", failures, len(seen))
		}
	}
}

func TestDelayIsNeverBelowWhatTheStoreAsksFor(t *testing.T) {
	p := Policy{Base: time.Millisecond, Max: time.Second}
	err := fmt.Errorf("append: %w", busy{wait: time.Minute})
	if d := p.Delay(1, err); d != time.Minute {
		t.Errorf("got %v, want the minute that the error asks for", d)
	}
}
