// Package backoff is the one schedule by which the producer and the consumer try again.
package backoff

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Policy says how long to wait before each of several attempts in a row that made no progress, and how many there
// may be.
type Policy struct {
	Base   time.Duration // of the first delay
	Max    time.Duration // of any delay but one that a store asked for
	Budget int           // attempts in a row without progress before giving up; see Endless
}

// Endless is a Budget that is never used up.
const Endless = math.MaxInt

// Default is the schedule of the producer and the consumer. It tries for about half a minute: enough for a server's
// restart, short enough for a wrong address to be noticed.
func Default() Policy { return Policy{Base: 50 * time.Millisecond, Max: longest, Budget: 12} }

const longest = 5 * time.Second

// Check says what is wrong with a policy of the user's.
func (p Policy) Check() error {
	switch {
	case p.Budget < 0:
		return fmt.Errorf("Attempts(%d): must be at least 1", p.Budget+1)
	case p.Base < 0 || p.Max < p.Base:
		return fmt.Errorf("Backoff(%v, %v): the first must not be less than 0, nor more than the second", p.Base, p.Max)
	}
	return nil
}

// Progress says whether what lived so long was worth opening, so that the count of attempts starts again: it outlived the
// longest delay, and also that of the default, or a server that accepts and drops would be asked for ever.
func (p Policy) Progress(lived time.Duration) bool { return lived > max(p.Max, longest) }

// Delay returns how long to wait before the attempt after failures failures in a row (1 or more), the last of which was
// err. It doubles from Base to Max, the upper half of it at random, so that clients which failed together do not return
// together; it is never below what err asks for with RetryAfter.
func (p Policy) Delay(failures int, err error) time.Duration {
	d := p.Max
	if shift := failures - 1; p.Base < p.Max>>min(shift, 63) || p.Base == 0 {
		d = p.Base << shift
	}
	if half := d / 2; half > 0 {
		d = half + rand.N(half+1)
	}
	return max(d, backend.RetryAfter(err))
}

// Sleep reports whether d went by before ctx was over.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
