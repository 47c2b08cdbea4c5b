package recipes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

const key = "orders/billing"

// fill appends n orders of three customers to a stream.
func fill(t *testing.T, sink backend.Sink, n int) {
	t.Helper()
	send(t, sink, codec.JSON[order](), numbered(n)...)
}

func numbered(n int) (orders []order) {
	for i := range n {
		orders = append(orders, order{ID: fmt.Sprint(i), Customer: fmt.Sprint("customer ", i%3), Cents: int64(i)})
	}
	return orders
}

func send[T any](t *testing.T, sink backend.Sink, c codec.Codec[T], values ...T) {
	t.Helper()
	p, err := producer.New(t.Context(), sink, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Send(t.Context(), values...), p.Close()); err != nil {
		t.Fatal(err)
	}
}

func consume[T any](t *testing.T, source backend.Source, c codec.Codec[T], opts ...consumer.Option) *consumer.Consumer[T] {
	t.Helper()
	made, err := consumer.New(source, c, append(opts, consumer.StopAtTail())...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// values reads a stream from its first record to its tail.
func values[T any](t *testing.T, source backend.Source, c codec.Codec[T], opts ...consumer.Option) (got []T) {
	t.Helper()
	for m, err := range consume(t, source, c, append(opts, consumer.StartAt(backend.Earliest))...).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Value)
	}
	return got
}

// A tally is a handler that counts, and keeps the orders of each customer.
type tally struct {
	mu       sync.Mutex
	n        int
	customer map[string][]string
}

func (y *tally) handle(_ context.Context, m consumer.Message[order]) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.customer == nil {
		y.customer = map[string][]string{}
	}
	y.n++
	y.customer[m.Value.Customer] = append(y.customer[m.Value.Customer], m.Value.ID)
	return nil
}

func TestWorkersKeepTheOrderOfEachCustomer(t *testing.T) {
	stream := memory.New()
	fill(t, stream, 300)
	var got tally
	if err := workers(t.Context(), consume(t, stream, codec.JSON[order]()), got.handle); err != nil {
		t.Fatal(err)
	}
	for customer, ids := range got.customer {
		want := slices.Collect(func(yield func(string) bool) {
			for _, o := range numbered(300) {
				if o.Customer == customer && !yield(o.ID) {
					return
				}
			}
		})
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v", customer, ids)
		}
	}
	if got.n != 300 {
		t.Errorf("%d orders", got.n)
	}
}

func TestBatchesReachTheInsert(t *testing.T) {
	stream := memory.New()
	fill(t, stream, 300)
	var mu sync.Mutex
	n := 0
	err := batches(t.Context(), consume(t, stream, codec.JSON[order]()), func(_ context.Context, b []consumer.Message[order]) error {
		mu.Lock()
		defer mu.Unlock()
		n += len(b)
		return nil
	})
	if err != nil || n != 300 {
		t.Errorf("%d orders, %v", n, err)
	}
}

func TestLagAndReplay(t *testing.T) {
	stream, store := memory.New(), checkpoint.NewMemory()
	fill(t, stream, 10)
	c := consume(t, stream, codec.JSON[order](), consumer.Checkpoint(store, key))
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Value.ID == "6" {
			break // 6 is in hand, so it is not done
		}
	}
	if behind, err := lag(t.Context(), c, store, stream); err != nil || behind.Records != 4 {
		t.Errorf("%+v, %v, want 4 records", behind, err)
	}
	again, err := replay(t.Context(), store, stream, time.Now().Add(-24*time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range again.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 10 {
			break // the end of the range is in the future
		}
	}
	if behind, err := checkpoint.Lag(t.Context(), store, key, stream); err != nil || behind.Records != 10 {
		t.Errorf("after the reset: %+v, %v, want 10 records", behind, err)
	}
}

func TestEachCentIsCountedOnce(t *testing.T) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE totals (cents INTEGER); INSERT INTO totals VALUES (0)"); err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	store, stream := sqlstore.New(db), memory.New()
	fill(t, stream, 100)
	for range 2 { // the second run finds nothing left
		for m, err := range consume(t, stream, codec.JSON[order](), consumer.Checkpoint(store, "orders/totals")).Messages(t.Context()) {
			if err == nil {
				err = exactlyOnce(t.Context(), db, store, m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var cents int
	if err := db.QueryRowContext(t.Context(), "SELECT cents FROM totals").Scan(&cents); err != nil || cents != 4950 {
		t.Errorf("%d cents, %v, want 4950", cents, err)
	}
}

func TestPartitionsAreMergedAgain(t *testing.T) {
	streams := []*memory.Stream{memory.New(), memory.New()}
	p, err := partitioned(t.Context(), []backend.Sink{streams[0], streams[1]})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Send(t.Context(), numbered(100)...), p.Close()); err != nil {
		t.Fatal(err)
	}
	n := 0
	audit := func(order) error { n++; return nil }
	err = merged(t.Context(), consume(t, streams[0], codec.JSON[order]()), consume(t, streams[1], codec.JSON[order]()), audit)
	if err != nil || n != 100 {
		t.Errorf("%d orders, %v", n, err)
	}
}

func TestUnionSkipsATypeThatItDoesNotKnow(t *testing.T) {
	stream := memory.New()
	send(t, stream, union(), event(orderPlaced{}), event(orderPaid{}))
	type refund struct{}
	send(t, stream, codec.Union("type", codec.Case[any]("order.refunded", codec.JSON[refund]())), any(refund{}))
	if got := values(t, stream, union(), skipUnknown()); !slices.Equal(got, []event{orderPlaced{}, orderPaid{}}) {
		t.Errorf("%v", got)
	}
}

func TestVersionsAndOtherEngines(t *testing.T) {
	stream, one := memory.New(), order{ID: "1", Customer: "a", Cents: 5}
	first := codec.Func("application/json",
		func(dst []byte, o order) ([]byte, error) { return fmt.Appendf(dst, `%q`, o.ID), nil },
		func(src []byte) (order, error) { return order{ID: string(src[1 : len(src)-1])}, nil })
	send(t, stream, first, order{ID: "0"})
	send(t, stream, versions(first), one)
	if got := values(t, stream, versions(first)); !slices.Equal(got, []order{{ID: "0"}, one}) {
		t.Errorf("%v", got)
	}
	other := memory.New()
	send(t, other, otherJSON(), one)
	if got := values(t, other, codec.JSON[order]()); !slices.Equal(got, []order{one}) {
		t.Errorf("%v", got)
	}
}

// The source of a service does not end, so the handler ends the loop.
func TestObservedAndTraced(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	stream := memory.New()
	fill(t, stream, 10)
	var got tally
	last := func(ctx context.Context, m consumer.Message[order]) error {
		if m.Value.ID == "9" {
			end()
		}
		return got.handle(ctx, m)
	}
	p, err := observed(ctx, memory.New(), stream, last)
	if err = errors.Join(errIfNot(err, context.Canceled), p.Close()); err != nil || got.n != 10 {
		t.Errorf("%d orders, %v", got.n, err)
	}

	p, err = producer.New(t.Context(), stream, codec.JSON[order]())
	if err != nil {
		t.Fatal(err)
	}
	got.n = 0
	if err := traced(t.Context(), p, consume(t, stream, codec.JSON[order]()), order{ID: "10"}, got.handle); err != nil || got.n != 11 {
		t.Errorf("%d orders, %v", got.n, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// errIfNot returns err, unless err is the end that the test has caused.
func errIfNot(err, end error) error {
	if errors.Is(err, end) {
		return nil
	}
	return err
}

func TestOutboxAndGroupInPostgreSQL(t *testing.T) {
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with")
	}
	schema := fmt.Sprint("recipes_", time.Now().UnixNano())
	pool, err := pgxpool.New(t.Context(), dsn+" search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, statement := range []string{"CREATE SCHEMA " + schema, "CREATE TABLE orders (id TEXT, paid BOOLEAN)", "INSERT INTO orders VALUES ('7', false)"} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	db, err := postgres.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), pool, db, order{ID: "7"}); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	target := memory.New()
	forwarded := make(chan error)
	go func() { forwarded <- forward(ctx, db, target, checkpoint.NewMemory()) }()
	for m, err := range mustFollow(t, target).Messages(ctx) {
		if err != nil || m.Value.ID != "7" {
			t.Fatalf("%v, %v", m.Value, err)
		}
		break
	}
	end()
	if err := <-forwarded; errIfNot(err, context.Canceled) != nil {
		t.Error(err)
	}
	shareByGroup(t, dsn+" search_path="+schema)
}

func mustFollow(t *testing.T, source backend.Source) *consumer.Consumer[order] {
	t.Helper()
	c, err := consumer.New(source, codec.JSON[order](), consumer.StartAt(backend.Earliest))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shareByGroup runs the recipe of several machines with one member until it has handled all orders.
func shareByGroup(t *testing.T, dsn string) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}
	streams := map[string]*memory.Stream{"orders-0": memory.New(), "orders-1": memory.New(), "orders-2": memory.New()}
	for _, s := range streams {
		fill(t, s, 5)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var got tally
	err = machines(ctx, db, func(name string) backend.Source { return streams[name] }, func(ctx context.Context, _ string, m consumer.Message[order]) error {
		defer func() {
			got.mu.Lock()
			defer got.mu.Unlock()
			if got.n == 15 {
				end()
			}
		}()
		return got.handle(ctx, m)
	})
	if errIfNot(err, context.Canceled) != nil || got.n != 15 {
		t.Errorf("%d orders, %v", got.n, err)
	}
}

func TestFollowingEndsWithTheContextAndGoesOnBehindIt(t *testing.T) {
	stream, places := memory.New(), checkpoint.NewMemory()
	send(t, stream, codec.JSON[order](), numbered(5)...)
	var billed []string
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		c := consume(t, stream, codec.JSON[order](), consumer.Checkpoint(places, "orders/billing"))
		err := follow(ctx, c, func(o order) error {
			if billed = append(billed, o.ID); len(billed)%2 == 0 {
				cancel()
			}
			return nil
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, o := range numbered(4) {
		want = append(want, o.ID)
	}
	if !slices.Equal(billed, want) {
		t.Errorf("billed %v, want %v", billed, want)
	}
}
