package producer_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// An early sink acknowledges a batch and reads it for another second before its Send returns, as a store does whose answer
// overtakes the end of the request.
type early struct {
	acks  chan uint64
	reads []string // of the sender's goroutine
}

func (s *early) NewAppender(backend.Format) backend.Appender { return s }
func (s *early) Limits() backend.Limits                      { return backend.Limits{} }
func (s *early) Open(context.Context) (backend.Session, error) {
	return &earlySession{early: s, over: make(chan struct{})}, nil
}

type earlySession struct {
	*early
	over chan struct{}
}

func (s *earlySession) Send(_ context.Context, seq uint64, recs []backend.Record) error {
	s.acks <- seq
	<-time.After(time.Second)
	for _, r := range recs {
		read := string(r.Value)
		for _, h := range r.Headers {
			read += string(h.Value)
		}
		s.reads = append(s.reads, read)
	}
	return nil
}

func (s *earlySession) Recv(context.Context) (backend.Ack, error) {
	select {
	case seq := <-s.acks:
		return backend.Ack{Seq: seq}, nil
	case <-s.over:
		return backend.Ack{}, backend.ErrClosed
	}
}

func (s *earlySession) Close() error {
	select {
	case <-s.over:
	default:
		close(s.over)
	}
	return nil
}

func TestRecordsAreLentUntilSendHasReturnedToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := &early{acks: make(chan uint64)}
		p := open(t, sink, producer.BatchRecords(2))
		var want []string
		for _, v := range numbered(10) {
			want = append(want, v+v)
			r, err := p.EnqueueRecord(t.Context(), producer.Record[string]{
				Value: v, Headers: backend.Headers{{Name: "h", Value: []byte(v)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(want)%2 == 0 {
				if _, err := wait(t, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		closeNow(t, p)
		if !slices.Equal(sink.reads, want) {
			t.Errorf("the sink read %q, want %q", sink.reads, want)
		}
		if s := p.Stats(); s.Buffered != 0 || s.BufferedBytes != 0 {
			t.Errorf("%+v, want nothing held", s)
		}
	})
}

// Durable is durable: a receipt does not wait for the sink to be done with the memory.
func TestAReceiptIsDecidedByTheAckAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := &early{acks: make(chan uint64)}
		p := open(t, sink)
		begun := time.Now()
		r, err := p.EnqueueRecord(t.Context(), producer.Record[string]{Value: "a", Headers: backend.Headers{{Name: "h"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wait(t, r); err != nil || time.Since(begun) != 0 {
			t.Errorf("decided after %v: %v, want at once", time.Since(begun), err)
		}
		if s := p.Stats(); s.Acked != 1 || s.BufferedBytes == 0 {
			t.Errorf("%+v, want the record acknowledged and its memory lent", s)
		}
		closeNow(t, p)
	})
}
