package s2

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// compare decides about a batch that an earlier connection took and whose place in the stream is taken now. If equal records
// are there, the batch is stored. The answer is final: the tail was read after the earlier connection was closed, and a
// batch is stored whole or not at all.
func (c *conn) compare(ctx context.Context, b batch, recs []backend.Record) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() // Close ends the reading
	for done := 0; done < len(recs); {
		at := b.at + uint64(done)
		if at >= c.tail { // the batch would have been stored whole
			return fmt.Errorf("another writer's records are at %d: %w", b.at, backend.ErrConflict)
		}
		got, err := c.stream.Read(ctx, Range{From: At(at), Count: len(recs) - done})
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
				if c.token != nil && Command(&got.Records[i]) == "fence" {
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
