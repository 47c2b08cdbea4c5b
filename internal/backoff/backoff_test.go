package backoff

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
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

func TestDelayOfExtremePolicies(t *testing.T) {
	for _, failures := range []int{1, 2, 31, 32, 63, 64, 1 << 30} {
		if d := (Policy{}).Delay(failures, nil); d != 0 {
			t.Errorf("zeros wait for %v after %d failures", d, failures)
		}
		if d := (Policy{Max: time.Second}).Delay(failures, nil); d != 0 {
			t.Errorf("twice nothing is %v after %d failures", d, failures)
		}
		const year = 365 * 24 * time.Hour
		if d := (Policy{Base: year, Max: 200 * year}).Delay(failures, nil); d < year/2 || d > 200*year {
			t.Errorf("%v after %d failures, want a year to two hundred", d, failures)
		}
	}
}

func TestProgressOutlivesTheDefaultToo(t *testing.T) {
	for _, c := range []struct {
		p     Policy
		lived time.Duration
		want  bool
	}{
		{Default(), 5 * time.Second, false}, {Default(), 6 * time.Second, true},
		{Policy{}, 5 * time.Second, false}, {Policy{}, 6 * time.Second, true},
		{Policy{Max: time.Minute}, 30 * time.Second, false},
	} {
		if got := c.p.Progress(c.lived); got != c.want {
			t.Errorf("%+v, %v: %v", c.p, c.lived, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, p := range []Policy{{Budget: -1}, {Base: -1}, {Base: 2, Max: 1}} {
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	for _, p := range []Policy{{}, Default(), {Base: 1, Max: 1}} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if !Sleep(ctx, time.Second) || time.Since(begun) != time.Second {
			t.Errorf("a second within a minute was cut short after %v", time.Since(begun))
		}
		if Sleep(ctx, time.Hour) || time.Since(begun) != time.Minute {
			t.Errorf("an hour in a minute took %v", time.Since(begun))
		}
	})
}
