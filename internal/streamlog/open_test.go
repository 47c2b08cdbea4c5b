package streamlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

func TestContentTypeIsFixedByTheFirst(t *testing.T) {
	s := newSlowStore()
	s.auto = true
	log := newLog(s, backend.Limits{})
	open(t, log.NewAppender(backend.Format{})) // says nothing, fixes nothing
	open(t, log.NewAppender(backend.Format{ContentType: "application/json"}))
	open(t, log.NewAppender(backend.Format{ContentType: "application/json", ContentEncoding: "zstd"}))
	open(t, log.NewAppender(backend.Format{}))
	_, err := log.NewAppender(backend.Format{ContentType: "text/plain"}).Open(ctx)
	wantErr(t, err, backend.ErrRejected)
}

func TestOneSessionAtATime(t *testing.T) {
	a := newLog(newSlowStore(), backend.Limits{}).NewAppender(backend.Format{})
	one := open(t, a)
	_, err := a.Open(ctx)
	wantErr(t, err, backend.ErrConflict)
	one.Close()
	open(t, a)
}

func TestClosedStream(t *testing.T) {
	s := newSlowStore()
	s.auto = true
	log := newLog(s, backend.Limits{})
	a, b := log.NewAppender(backend.Format{}), log.NewAppender(backend.Format{})
	one, other := open(t, a), open(t, b)
	send(t, one, 0, "a")
	one.Close() // the ack was not received
	for range 2 {
		if err := log.Seal(ctx); err != nil {
			t.Fatal(err)
		}
	}
	send(t, other, 0, "x")
	_, err := other.Recv(ctx)
	wantErr(t, err, backend.ErrStreamClosed)
	other.Close()
	_, err = b.Open(ctx)
	wantErr(t, err, backend.ErrStreamClosed)

	again := open(t, a) // is let in to learn that its batch is there
	send(t, again, 0, "a")
	wantAck(t, again, 0, "0")
	send(t, again, 1, "b")
	_, err = again.Recv(ctx)
	wantErr(t, err, backend.ErrStreamClosed)
	again.Close()
	_, err = a.Open(ctx)
	wantErr(t, err, backend.ErrStreamClosed)
}

// A wait that is cut short leaves the outcome open; for the content type of a stream that does not matter.
func TestContextCutsACommit(t *testing.T) {
	s := newSlowStore()
	log := newLog(s, backend.Limits{})
	short, cancel := context.WithCancel(ctx)
	go func() {
		s.waitQueued(1)
		cancel()
	}()
	wantErr(t, log.Seal(short), backend.ErrIndeterminate, context.Canceled)

	short, cancel = context.WithCancel(ctx)
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		_, err := log.NewAppender(backend.Format{ContentType: "text/plain"}).Open(short)
		opened <- err
	}()
	s.waitQueued(2)
	cancel()
	wantErr(t, <-opened, backend.ErrTransient, context.Canceled)
}

func TestLimits(t *testing.T) {
	header := backend.Headers{{Name: "ab", Value: []byte("c")}}
	for name, c := range map[string]struct {
		recs []backend.Record
		want error
	}{
		"records":          {recs("", "", "", ""), backend.ErrTooLarge},
		"records at limit": {recs("", "", ""), nil},
		"bytes":            {recs("1234", "1234", "123"), backend.ErrTooLarge},
		"bytes at limit":   {recs("1234", "1234", "12"), nil},
		"record":           {recs("123456"), backend.ErrTooLarge},
		"record at limit":  {recs("12345"), nil},
		"headers":          {[]backend.Record{{Value: []byte("123"), Headers: header}}, backend.ErrTooLarge},
		"headers at limit": {[]backend.Record{{Value: []byte("12"), Headers: header}}, nil},
		"none":             {nil, backend.ErrRejected},
		"time":             {[]backend.Record{{Time: time.Unix(1<<40, 0)}}, backend.ErrRejected},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlowStore()
			s.auto = true
			one := open(t, newLog(s, backend.Limits{BatchRecords: 3, BatchBytes: 10, RecordBytes: 5}).NewAppender(backend.Format{}))
			err := one.Send(ctx, 0, c.recs)
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				wantAck(t, one, 0, "0")
				return
			}
			wantErr(t, err, c.want)
			_, err = one.Recv(ctx)
			wantErr(t, err, c.want)
		})
	}
}
