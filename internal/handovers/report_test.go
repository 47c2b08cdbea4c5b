//go:build unix

package handovers

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// A watch looks at the shares of the group, and notes how long they need to become even after each change.
type watch struct {
	r      *run
	leases *sqlstore.Leases
	stop   context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	names    []string // of the processes
	missing  string   // the process that is suspended
	changes  []change
	from, to time.Time // of the outage of the database
}

// A change is what happened to the group, and what became of the shares.
type change struct {
	what      string
	at        time.Time
	even      time.Duration // how long the shares needed; 0: they were not even before the next change
	imbalance int           // when they were even, or when they were last seen
}

func newWatch(r *run) *watch {
	ctx, stop := context.WithCancel(context.Background())
	w := &watch{r: r, leases: sqlstore.NewLeases(r.db, sqlstore.PostgreSQL), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for tick := time.Tick(100 * time.Millisecond); ; {
			select {
			case <-tick:
				w.look(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

func (w *watch) end() {
	w.stop()
	<-w.ended
}

func (w *watch) change(what string, names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = names
	w.changes = append(w.changes, change{what: what, at: time.Now()})
}

// miss says that a process is suspended, so that the others should share the streams. back says that it goes on.
func (w *watch) miss(name string) { w.mu.Lock(); w.missing = name; w.mu.Unlock() }

func (w *watch) back(name string) {
	w.mu.Lock()
	w.missing = ""
	names := w.names
	w.mu.Unlock()
	w.change(name+" goes on", names)
}

func (w *watch) down(at time.Time) { w.mu.Lock(); w.from = at; w.mu.Unlock() }
func (w *watch) up(at time.Time)   { w.mu.Lock(); w.to = at; w.mu.Unlock() }

func (w *watch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	state, err := w.leases.Members(ctx, groupName)
	if err != nil {
		return // the database is away
	}
	held := make(map[string]int)
	for _, m := range state.Members {
		held[name(m)] = 0
	}
	members := len(held)
	for _, m := range state.Owners {
		held[name(m)]++
	}
	least, most := streams, 0
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.changes) == 0 {
		return
	}
	sum, want := 0, 0
	for _, n := range w.names {
		if n == w.missing {
			continue
		}
		want++
		least, most, sum = min(least, held[n]), max(most, held[n]), sum+held[n]
	}
	c := &w.changes[len(w.changes)-1]
	// A change shows in the leases only after a while, because the leases of a killed process last.
	if c.even == 0 && time.Since(c.at) > 500*time.Millisecond {
		c.imbalance = most - least
		if sum == streams && most-least <= 1 && members == want {
			c.even = time.Since(c.at)
		}
	}
}

func name(member string) string {
	n, _, _ := strings.Cut(member, "#")
	return n
}

// report checks the effects and tells what was measured.
func (r *run) report() {
	t := r.t
	count := func(what, query string) (n int64) {
		t.Helper()
		if err := r.db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		t.Logf("%6d %s", n, what)
		return n
	}
	all := count("effects", "SELECT COUNT(*) FROM effects")
	bad := count("effects too many", "SELECT COUNT(*) - (SELECT COUNT(*) FROM (SELECT DISTINCT stream, number FROM effects) AS d) FROM effects")
	bad += count("effects out of order", "SELECT COUNT(*) FROM (SELECT number, LAG(number) OVER (PARTITION BY stream ORDER BY at) AS before FROM effects) AS o WHERE number <> before + 1")
	bad += count("effects under a lease of another member", "SELECT COUNT(*) FROM effects WHERE owner <> worker")
	bad += count("effects under no lease", "SELECT COUNT(*) FROM effects WHERE owner IS NULL")
	bad += count("effects under the member's own lease after its time", "SELECT COUNT(*) FROM effects WHERE owner = worker AND lease_left <= 0")
	// Nothing fences these effects. A process that is suspended between its last look at the clock and the effect has it late.
	count("effects outside of transactions with the checkpoint", "SELECT COUNT(*) FROM outside")
	count("of them late: under the lease of another member, under none, or after its time", "SELECT COUNT(*) FROM outside WHERE owner IS DISTINCT FROM worker OR lease_left <= 0")
	count("ms that the lease still lasted, at the least, at those that were not late", "SELECT COALESCE(MIN(lease_left), 0) FROM outside WHERE owner = worker AND lease_left > 0")
	if bad != 0 || all == 0 {
		t.Error("the effects are wrong")
	}
	r.gaps()
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	uneven := 0
	for i, c := range r.watch.changes {
		if c.even == 0 {
			uneven++
			t.Logf("change %2d: %-40s not even before the next change, difference %d", i, c.what, c.imbalance)
			continue
		}
		t.Logf("change %2d: %-40s even after %4.1f s, difference %d", i, c.what, c.even.Seconds(), c.imbalance)
	}
	if last := r.watch.changes[len(r.watch.changes)-1]; uneven == len(r.watch.changes) {
		t.Errorf("the shares were never even, at last %v", last)
	}
}

// gaps tells how long streams stood still.
func (r *run) gaps() {
	rows, err := r.db.Query(`SELECT stream, before, at FROM (SELECT stream, at, LAG(at) OVER (PARTITION BY stream ORDER BY at) AS before FROM effects) AS g
		WHERE before IS NOT NULL ORDER BY at - before DESC`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	var longest, outside []time.Duration
	for rows.Next() {
		var stream string
		var from, to time.Time
		if err := rows.Scan(&stream, &from, &to); err != nil {
			r.t.Fatal(err)
		}
		gap := to.Sub(from)
		longest = append(longest, gap)
		if r.watch.from.IsZero() || to.Before(r.watch.from) || from.After(r.watch.to) {
			outside = append(outside, gap)
		}
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	tell := func(what string, gaps []time.Duration) {
		over := slices.IndexFunc(gaps, func(d time.Duration) bool { return d < time.Second })
		if len(gaps) > 0 {
			r.t.Logf("the longest time that a stream stood still, %s: %.2f s; %d times 1 s or longer", what, gaps[0].Seconds(), over)
		}
	}
	tell("the outage of the database included", longest)
	tell("the outage of the database excluded", outside)
}
