package zerobus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// payloadBytes is the limit for the records of a request.
const payloadBytes = 10_420_224

// long is a JSON object of n bytes. Its key is a number.
func long(i, n int) []byte {
	return fmt.Appendf(nil, `{"%06d":"%s"}`, i, strings.Repeat("x", n-13))
}

// A Send of 80 MB becomes requests within the service's limits, for every setting of the producer's batches. All rows arrive in
// order and once, and the buffer stays within its bound.
func TestAnEightyMegabyteBatchIsSplit(t *testing.T) {
	const n, size = 800, 100_000
	for name, opts := range map[string][]producer.Option{
		"by default":        nil,
		"as few as allowed": {producer.BatchBytes(1 << 30), producer.BatchRecords(1 << 20), producer.Linger(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := 0
				var bytes, largest int
				srv := quiet(t, zerobustest.DiscardRows(), zerobustest.Tap(func(_ string, rows []zerobustest.Row) {
					bytes = 0
					for _, r := range rows {
						if string(r.Value[1:8]) != fmt.Sprintf(`"%06d`, next) || len(r.Value) != size {
							t.Errorf("row %d is %.10s… of %d bytes", next, r.Value, len(r.Value))
						}
						next++
						bytes += len(r.Value)
					}
					largest = max(largest, bytes)
				}))
				p, err := producer.New(t.Context(), sinkOf(srv), jsonCodec(), opts...)
				if err != nil {
					t.Fatal(err)
				}
				values := make([][]byte, n)
				for i := range values {
					values[i] = long(i, size)
				}
				if err := p.Send(t.Context(), values...); err != nil {
					t.Fatal(err)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				s := srv.Stats()
				if next != n || largest > payloadBytes || s.Streams != 1 {
					t.Errorf("%d rows, requests of up to %d bytes; %+v", next, largest, s)
				}
				if name != "by default" && largest < payloadBytes-size {
					t.Errorf("requests of %d bytes at most", largest)
				}
				t.Logf("%d MB in %d requests of up to %d bytes", n*size/1_000_000, s.Requests, largest)
			})
		})
	}
}

// A record at the limit is stored. A record of one byte more is refused at once and without a request. Other records go on.
func TestAPayloadBeyondTheLimitIsRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p, err := producer.New(t.Context(), sinkOf(srv), jsonCodec())
		if err != nil {
			t.Fatal(err)
		}
		sizes := []int{100, payloadBytes, payloadBytes + 1, 200, 20 << 20, 300, 40 << 20, 400}
		var want []string
		for i, n := range sizes {
			r, err := p.Enqueue(t.Context(), long(i, n))
			if n > payloadBytes {
				if wantIs(t, err, backend.ErrTooLarge); !strings.Contains(err.Error(), fmt.Sprint(n)) {
					t.Errorf("%d bytes: %v", n, err)
				}
				continue
			}
			want = append(want, fmt.Sprintf("%06d %d", i, n))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if _, err := r.Wait(t.Context()); err != nil {
					t.Errorf("%d bytes: %v", n, err)
				}
			}()
		}
		// A Send accepts all its values or none.
		wantIs(t, p.Send(t.Context(), long(90, 50), long(91, payloadBytes+1), long(92, 50)), backend.ErrTooLarge)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		var got []string
		for _, r := range srv.Rows(table) {
			got = append(got, fmt.Sprintf("%s %d", r.Value[2:8], len(r.Value)))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || srv.Stats().Streams != 1 {
			t.Errorf("%q, want %q; %+v", got, want, srv.Stats())
		}
	})
}

// A session refuses a batch that is too large and names the record. The next session takes another batch under the same seq.
func TestASessionRefusesWhatIsTooLarge(t *testing.T) {
	half := long(0, payloadBytes/2+1)
	for name, test := range map[string]struct {
		recs  []backend.Record
		index int // of the culprit; -1 for the batch
	}{
		"a record":           {records("{}", string(long(0, payloadBytes+1)), "{}"), 1},
		"a batch":            {records(string(half), string(half)), -1},
		"a batch of 80 MB":   {records(repeat(string(long(0, 10_000_000)), 8)...), -1},
		"too many records":   {records(repeat("1", 20_001)...), -1},
		"one record, 40 MiB": {records(string(long(0, 40<<20))), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				a := clientOf(config(srv), reach(srv)...).Table(table).NewAppender(jsonFormat)
				s, err := a.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				wantIs(t, s.Send(t.Context(), 0, test.recs), backend.ErrTooLarge)
				_, err = reason(t, s)
				wantIs(t, err, backend.ErrTooLarge)
				var culprit *backend.RecordError
				if errors.As(err, &culprit) != (test.index >= 0) || culprit != nil && culprit.Index != test.index {
					t.Errorf("%v: culprit %+v", err, culprit)
				}
				_ = s.Close()
				if s, err = a.Open(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if acks := sendAll(t, s, 1); len(acks) != 1 || srv.Stats().Requests != 1 {
					t.Errorf("%v; %+v", acks, srv.Stats())
				}
			})
		})
	}
}

func repeat(v string, n int) (all []string) {
	for range n {
		all = append(all, v)
	}
	return all
}
