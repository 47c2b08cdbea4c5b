package postgres_test

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// Each benchmark has the package and, in the same run, what bare pgx makes of the same rows.

var benchValue = bytes.Repeat([]byte("x"), 100)

func makeRaw(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	if _, err := pool.Exec(b.Context(), `CREATE TABLE raw (stream BIGINT, turn BIGINT, batch BIGINT, no INT, value BYTEA, headers BYTEA, at BIGINT,
		PRIMARY KEY (stream, turn, batch, no))`); err != nil {
		b.Fatal(err)
	}
}

// copyRaw stores 1,000 rows behind n.
func copyRaw(b *testing.B, pool *pgxpool.Pool, n int) {
	b.Helper()
	_, err := pool.CopyFrom(b.Context(), pgx.Identifier{"raw"}, []string{"stream", "turn", "batch", "no", "value", "headers", "at"},
		pgx.CopyFromSlice(1000, func(i int) ([]any, error) {
			return []any{int64(1), int64(n), int64(n), int32(i), benchValue, nil, int64(n)}, nil
		}))
	if err != nil {
		b.Fatal(err)
	}
}

// Batches of 1,000 records of 100 bytes.
func BenchmarkAppend(b *testing.B) {
	pool := newPool(b)
	s := newDB(b, pool).Stream("bench")
	b.Run("producer", func(b *testing.B) {
		p, err := producer.New(b.Context(), s, codec.Bytes(), producer.BatchRecords(1000))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for b.Loop() {
			for range 1000 {
				if _, err := p.Enqueue(b.Context(), benchValue); err != nil {
					b.Fatal(err)
				}
			}
			n += 1000
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
	makeRaw(b, pool)
	next := 0 // of all runs of the benchmark, which share the table
	b.Run("copy", func(b *testing.B) {
		from := next
		for b.Loop() {
			copyRaw(b, pool, next)
			next += 1000
		}
		b.ReportMetric(float64(next-from)/b.Elapsed().Seconds(), "records/s")
	})
}

// 100,000 records of 100 bytes.
func BenchmarkRead(b *testing.B) {
	const n = 100_000
	pool := newPool(b)
	s := newDB(b, pool).Stream("bench")
	p, err := producer.New(b.Context(), s, codec.Bytes(), producer.BatchRecords(1000))
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		if _, err := p.Enqueue(b.Context(), benchValue); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.Context(), "VACUUM ANALYZE headrace_records"); err != nil {
		b.Fatal(err)
	}
	b.Run("reader", func(b *testing.B) {
		for b.Loop() {
			readThrough(b, s.OpenReader, n)
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("select", func(b *testing.B) {
		for b.Loop() {
			rows, err := pool.Query(b.Context(), `SELECT turn, batch, no, value, headers, at FROM headrace_records ORDER BY stream, turn, batch, no`)
			if err != nil {
				b.Fatal(err)
			}
			got := 0
			for rows.Next() {
				var turn, batch, at int64
				var no int32
				var value, headers []byte
				if err := rows.Scan(&turn, &batch, &no, &value, &headers, &at); err != nil {
					b.Fatal(err)
				}
				got++
			}
			if got != n || rows.Err() != nil {
				b.Fatal(got, rows.Err())
			}
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// One record at a time, each durable before the next.
func BenchmarkLoneAppend(b *testing.B) {
	pool := newPool(b)
	s := newDB(b, pool).Stream("bench")
	b.Run("session", func(b *testing.B) {
		session, err := s.NewAppender(backend.Format{}).Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer session.Close()
		recs := []backend.Record{{Value: benchValue}}
		for seq := uint64(0); b.Loop(); seq++ {
			if err := session.Send(b.Context(), seq, recs); err != nil {
				b.Fatal(err)
			}
			if _, err := session.Recv(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	makeRaw(b, pool)
	n := int64(0)
	for _, bare := range []struct{ name, sql string }{
		{"insert", `INSERT INTO raw VALUES (1, $1, $1, 0, $2, NULL, $1)`},
		{"insert and notify", `WITH i AS (INSERT INTO raw VALUES (1, $1, $1, 0, $2, NULL, $1)) SELECT pg_notify('headrace', '1')`},
	} {
		b.Run(bare.name, func(b *testing.B) {
			for ; b.Loop(); n++ {
				if _, err := pool.Exec(b.Context(), bare.sql, n, benchValue); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
