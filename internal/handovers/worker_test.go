//go:build unix

package handovers

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group"
)

const (
	groupName = "run"
	leaseTime = 4 * time.Second
	drainTime = 500 * time.Millisecond
)

// A job is what a worker must know. It travels in the environment of its process.
type job struct {
	DSN     string
	Server  string
	Streams []string
	Name    string
}

const jobVariable = "HEADRACE_HANDOVERS_JOB"

// TestMain is also the worker.
func TestMain(m *testing.M) {
	text := os.Getenv(jobVariable)
	if text == "" {
		goleak.VerifyTestMain(m)
		return
	}
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.work()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, j.Name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// work runs a member until stdin is closed.
func (j job) work() error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	leasesDB, err := sql.Open("pgx", j.DSN)
	if err != nil {
		return err
	}
	effectsDB, err := sql.Open("pgx", j.DSN)
	if err != nil {
		return err
	}
	effectsDB.SetMaxOpenConns(20)
	effectsDB.SetMaxIdleConns(20)
	client, err := durablestreams.New(j.Server)
	if err != nil {
		return err
	}
	w := worker{name: j.Name, db: effectsDB, leases: sqlstore.NewLeases(leasesDB, sqlstore.PostgreSQL)}
	w.group, err = group.New(w.leases, groupName,
		group.Fixed(func(s string) backend.Source { return client.Stream(s) }, j.Streams...), codec.JSON[int](),
		group.Member(j.Name), group.LeaseTime(leaseTime), group.DrainTimeout(drainTime),
		group.Logger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	if err != nil {
		return err
	}
	err = w.group.Each(ctx, w.follow)
	if ctx.Err() != nil {
		// At the end, every stream saves its place within drainTime. A busy machine may need longer, and the member reports that.
		// No effect depends on these saves, because each effect has saved its place with SaveTx.
		fmt.Fprintln(os.Stderr, j.Name, "ended:", err)
		return nil
	}
	return err
}

type worker struct {
	name   string
	db     *sql.DB
	leases *sqlstore.Leases
	group  *group.Group[int]
}

func (w *worker) follow(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := w.outside(group.InHand(ctx), stream, m); err != nil {
			return sqlstore.Classify(err)
		}
		if err := w.effect(group.InHand(ctx), stream, m); err != nil {
			return sqlstore.Classify(err)
		}
	}
	return nil
}

// note is a statement that notes an effect, who has the lease on the stream at that moment, and how long the lease still
// lasts, in milliseconds.
const note = `
	SELECT CAST($1 AS TEXT), $2, CAST($3 AS TEXT), clock_timestamp(), split_part(l.member, '#', 1),
		l.expires_at - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
	FROM (SELECT 1) AS one LEFT JOIN headrace_leases AS l ON l.group_name = $4 AND l.stream = $1`

// outside is an effect that is in no transaction with the checkpoint.
func (w *worker) outside(ctx context.Context, stream string, m consumer.Message[int]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := w.db.ExecContext(ctx, "INSERT INTO outside"+note, stream, m.Value, w.name, groupName)
	return err
}

// effect commits the effect of a record with the place behind it. SaveTx comes last, and decides whether the effect is
// committed: it saves only under a valid lease.
func (w *worker) effect(ctx context.Context, stream string, m consumer.Message[int]) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing behind a commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO effects"+note, stream, m.Value, w.name, groupName); err != nil {
		return err
	}
	if err := w.leases.SaveTx(ctx, tx, w.group.Key(stream), m.Checkpoint()); err != nil {
		return err
	}
	return tx.Commit()
}
