// Package backoff is the schedule by which the producer, the consumer and the relay retry a failed operation.
package backoff

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Policy says how long to wait between attempts in a row that made no progress, and how many such attempts are
// allowed.
type Policy struct {
	Base   time.Duration // the first delay
	Max    time.Duration // the longest delay, except where a store asks for a longer one
	Budget int           // attempts in a row without progress before the caller gives up; see Endless
}

// Endless is a Budget that is never used up.
const Endless = math.MaxInt

// Default is the schedule of the producer and the consumer. Its 12 pauses take 16 to 31 s together: a server
// has time to restart, and a wrong address is still noticed soon.
func Default() Policy { return Policy{Base: 50 * time.Millisecond, Max: longest, Budget: 12} }

// longest is the longest delay of Default. Progress uses the value too.
const longest = 5 * time.Second

// Check returns an error if the user has configured a policy that cannot work.
func (p Policy) Check() error {
	switch {
	case p.Budget < 0:
		return fmt.Errorf("Attempts(%d): must be at least 1", p.Budget+1)
	case p.Base < 0 || p.Max < p.Base:
		return fmt.Errorf("Backoff(%v, %v): the first must not be less than 0, nor more than the second", p.Base, p.Max)
	}
	return nil
}

// Progress reports whether a connection or session that lasted for lived has made progress. After progress, the count of
// attempts starts again. Only a life longer than the longest delay counts. The policy's own Max may be very short;
// therefore the life must also exceed the longest delay of Default. Otherwise a client would never give up on a server
// that accepts every connection and drops the connection soon after.
func (p Policy) Progress(lived time.Duration) bool { return lived > max(p.Max, longest) }

// Delay returns how long to wait before the next attempt. failures counts the failures in a row, 1 or more; err is the
// last one. The delay doubles from Base to Max. We choose its upper half at random, because clients that failed
// together must not all return at the same moment. If the store has asked for a longer delay with RetryAfter, Delay
// returns the longer delay.
func (p Policy) Delay(failures int, err error) time.Duration {
	d := p.Max
	// The comparison shifts Max right instead of Base left, because a large shift of Base would overflow.
	if shift := failures - 1; p.Base < p.Max>>min(shift, 63) || p.Base == 0 {
		d = p.Base << shift
	}
	if half := d / 2; half > 0 {
		d = half + rand.N(half+1)
	}
	return max(d, backend.RetryAfter(err))
}

// Sleep waits for d. It returns false if ctx ends first.
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
