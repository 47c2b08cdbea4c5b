package s2

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// settle finds out what became of a batch that an earlier session took and whose place in the stream is taken now. Equal
// records there are the batch: it is acknowledged and sent nowhere. The stream's tail was read after the earlier
// connection had been abandoned, and a batch is stored whole or not at all.
func (s *session) settle(ctx context.Context, b batch, recs []backend.Record) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)() // Close ends it
	if err := s.compare(ctx, b, recs); err != nil {
		return s.refuse(fmt.Errorf("s2: %s: %w", s.op(), err))
	}
	return s.take(b, nil)
}

// compare reads what is where recs must be.
func (s *session) compare(ctx context.Context, b batch, recs []backend.Record) error {
	for done := 0; done < len(recs); {
		at := b.at + uint64(done)
		if at >= s.tail { // a batch is stored whole
			return fmt.Errorf("another writer's records are at %d: %w", b.at, backend.ErrConflict)
		}
		got, err := s.stream.Read(ctx, Range{From: At(at), Count: len(recs) - done})
		if err != nil && !errors.Is(err, backend.ErrTransient) {
			return fmt.Errorf("read back what is at %d: %w", at, err)
		}
		if err != nil {
			// It may be stored, and asking again is safe.
			return fmt.Errorf("read back what is at %d: %w: %w", at, backend.ErrIndeterminate, err)
		}
		if len(got.Records) == 0 || got.Records[0].Offset != At(at) {
			// Trimmed before anyone looked: whose records they were cannot be known any more.
			return fmt.Errorf("what was stored at %d is trimmed and cannot be compared: %w", at, backend.ErrConflict)
		}
		for i := range got.Records {
			if done == len(recs) {
				return protocolErrorf("more than the %d records asked for", len(recs))
			}
			if !same(&got.Records[i], &recs[done]) {
				kind := backend.ErrConflict
				if s.token != nil && Command(&got.Records[i]) == "fence" {
					kind = backend.ErrFenced
				}
				return fmt.Errorf("another writer's record is at %d: %w", b.at+uint64(done), kind)
			}
			done++
		}
	}
	return nil
}

// same compares what a writer decides. Times are not compared: the server may have moved them.
func same(a, b *backend.Record) bool {
	if !bytes.Equal(a.Value, b.Value) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Name != b.Headers[i].Name || !bytes.Equal(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}
