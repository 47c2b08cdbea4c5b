package s2

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// compare decides whether an earlier connection has stored batch b. The position of b is below the tail, so some records are
// there. If the records equal recs, the batch is stored. The answer is final for two reasons: the tail was read after the
// earlier connection was closed, and S2 stores a batch whole or not at all.
func (c *conn) compare(ctx context.Context, b batch, recs []backend.Record) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() // Close ends the call
	// A read returns at most 1000 records and 1 MiB, and commands count too: a batch may take several reads.
	for done := 0; done < len(recs); {
		// Every turn reads on behind the records that are compared, and asks for the rest of the batch at most.
		at := b.at + uint64(done)
		if at >= c.tail { // the records are fewer than the batch, and S2 stores no part of a batch
			return fmt.Errorf("another writer's records are at %d: %w", b.at, backend.ErrConflict)
		}
		got, err := c.stream.Read(ctx, Range{From: At(at), Count: len(recs) - done})
		if err != nil && !errors.Is(err, backend.ErrTransient) {
			return fmt.Errorf("read back what is at %d: %w", at, err)
		}
		if err != nil {
			// The batch may be stored. The next session asks again.
			return fmt.Errorf("read back what is at %d: %w: %w", at, backend.ErrIndeterminate, err)
		}
		if len(got.Records) == 0 || got.Records[0].Offset != At(at) {
			// The records were trimmed before we looked, so nobody can know their writer any more.
			return fmt.Errorf("what was stored at %d is trimmed and cannot be compared: %w", at, backend.ErrConflict)
		}
		for i := range got.Records {
			if done == len(recs) {
				return protocolErrorf("more than the %d records asked for", len(recs))
			}
			if !same(&got.Records[i], &recs[done]) {
				// With a fencing token, a fence at this place means a newer owner, and not just any writer.
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

// same compares values and headers. Times are left out, because the server may have changed the times: a stream may use the time
// of the arrival, and times never go back. Two different batches with equal values and headers at one position are equal for
// every reader too.
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
