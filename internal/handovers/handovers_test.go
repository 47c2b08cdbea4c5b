//go:build unix

package handovers

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

const (
	streams   = 32
	processes = 4
	every     = 200 * time.Millisecond // between two records of a stream
	away      = 6 * time.Second        // of the database, and of a process that is suspended: longer than a lease
)

// A run is the group and all it needs.
type run struct {
	t       *testing.T
	db      *sql.DB
	job     job
	log     tail
	started int
	alive   []*process // one of them may be suspended
	sent    []atomic.Int64
	watch   *watch
}

func TestGroupSurvivesKillsAndOutages(t *testing.T) {
	dsn, restart := os.Getenv("HEADRACE_POSTGRES"), os.Getenv("HEADRACE_POSTGRES_RESTART")
	if dsn == "" || restart == "" {
		t.Skip("HEADRACE_POSTGRES and HEADRACE_POSTGRES_RESTART are not set: no PostgreSQL to test with; use .ci/postgres")
	}
	length := 20 * time.Second
	if long := os.Getenv("HEADRACE_LONG"); long != "" {
		length = 3 * time.Minute
		if d, err := time.ParseDuration(long); err == nil && d > 0 {
			length = d.Truncate(10 * time.Second)
		}
	}
	r := newRun(t, dsn)
	ctx, stop := context.WithCancel(t.Context())
	produced := r.produce(ctx)
	for range processes {
		r.start()
	}
	r.disturb(length, restart)
	stop()
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	r.finish()
	r.report()
	if t.Failed() {
		t.Logf("the last words of the workers:\n%s", lastWords(r.log.String()))
	}
}

func newRun(t *testing.T, dsn string) *run {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, db: db, sent: make([]atomic.Int64, streams), job: job{DSN: dsn}}
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"DROP TABLE IF EXISTS effects, outside",
		"DELETE FROM headrace_checkpoints WHERE checkpoint_key LIKE '%/" + groupName + "'",
		"CREATE TABLE effects (stream TEXT, number BIGINT, worker TEXT, at TIMESTAMPTZ, owner TEXT, lease_left BIGINT)",
		"CREATE TABLE outside (LIKE effects)",
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	srv, err := server.New(server.Config{Path: server.Prefix("/")})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.job.Server = srv.URL()
	for i := range streams {
		r.job.Streams = append(r.job.Streams, fmt.Sprintf("s%02d", i))
	}
	r.watch = newWatch(r)
	t.Cleanup(func() {
		for _, p := range r.alive {
			p.kill()
		}
		r.watch.end()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// produce appends 1, 2, 3, … to every stream until ctx is over.
func (r *run) produce(ctx context.Context) <-chan error {
	client, err := durablestreams.New(r.job.Server)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = client.Close() })
	var ps []*producer.Producer[int]
	for _, name := range r.job.Streams {
		stream := client.Stream(name)
		if _, err := stream.Create(ctx, "application/json"); err != nil {
			r.t.Fatal(err)
		}
		p, err := producer.New(ctx, stream, codec.JSON[int]())
		if err != nil {
			r.t.Fatal(err)
		}
		ps = append(ps, p)
	}
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				var err error
				for _, p := range ps {
					if e := p.Close(); err == nil {
						err = e
					}
				}
				done <- err
				return
			}
			for i, p := range ps {
				if _, err := p.Enqueue(context.WithoutCancel(ctx), n); err != nil {
					done <- err
					return
				}
				r.sent[i].Store(int64(n))
			}
		}
	}()
	return done
}

func (r *run) start() {
	r.started++
	j := r.job
	j.Name = fmt.Sprintf("p%02d", r.started)
	r.alive = append(r.alive, start(r.t, j, &r.log))
}

// changed tells the watch that the group has changed.
func (r *run) changed(what string, args ...any) {
	var names []string
	for _, p := range r.alive {
		names = append(names, p.name)
	}
	r.watch.change(fmt.Sprintf(what, args...), names)
}

// disturb lets the time of the run go by. Every 10 s it kills a process, in half of the intervals it suspends one, and in
// the middle of the run it stops the database.
func (r *run) disturb(length time.Duration, restart string) {
	r.changed("start of %d processes", processes)
	for at := 5 * time.Second; at < length; at += 5 * time.Second {
		r.sleep(5 * time.Second)
		switch {
		case at == length/2:
			r.outage(restart)
		case at == length/2+5*time.Second: // the database has just come back
		case at%(10*time.Second) == 5*time.Second:
			r.replace()
		case at%(20*time.Second) == 10*time.Second:
			r.suspend()
		}
	}
	r.sleep(5 * time.Second)
}

// sleep is the pace of the run, and no wait for a condition.
func (r *run) sleep(d time.Duration) { time.Sleep(d) }

func (r *run) replace() {
	p := r.alive[0]
	p.kill()
	r.alive = r.alive[1:]
	r.start()
	r.changed("%s killed, another started", p.name)
}

func (r *run) suspend() {
	p := r.alive[0]
	r.alive = append(r.alive[1:], p) // it is not the next to be killed
	p.signal(syscall.SIGSTOP)
	r.watch.miss(p.name)
	r.changed("%s suspended for %v", p.name, away)
	time.AfterFunc(away, func() {
		p.signal(syscall.SIGCONT)
		r.watch.back(p.name)
	})
}

func (r *run) outage(restart string) {
	r.watch.down(time.Now())
	cmd := exec.Command(restart, fmt.Sprint(away.Seconds()))
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.changed("the database is away for %v", away)
	go func() {
		if err := cmd.Wait(); err != nil {
			r.t.Error("restart:", err)
		}
		r.watch.up(time.Now())
	}()
}

// finish waits until every record has its effect, and ends the processes.
func (r *run) finish() {
	var want int64
	for i := range r.sent {
		want += r.sent[i].Load()
	}
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		var have int64
		if err := r.db.QueryRow("SELECT COUNT(*) FROM (SELECT DISTINCT stream, number FROM effects) AS d").Scan(&have); err != nil {
			r.t.Fatal(err)
		}
		if have == want {
			break
		}
		if time.Since(begun) > 2*time.Minute {
			r.t.Errorf("%d effects of %d records", have, want)
			break
		}
	}
	for _, p := range r.alive {
		if err := p.end(); err != nil {
			r.t.Errorf("%s: %v", p.name, err)
		}
	}
	r.alive = nil
}

// lastWords returns the errors with which workers have ended, and the end of the log.
func lastWords(log string) string {
	var words strings.Builder
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") {
			words.WriteString(line)
		}
	}
	return words.String() + log[max(0, len(log)-4000):]
}
