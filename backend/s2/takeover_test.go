package s2_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A refusal over a healthy connection is certain: the server has stored none of the refused session's batches. Only batches of an
// earlier, lost session may be stored.
func TestATakeoverLeavesNoDoubtAboutWhatWasRefused(t *testing.T) {
	for what, c := range map[string]struct {
		opts []s2.StreamOption
		kind error
	}{
		"fenced":    {[]s2.StreamOption{s2.Fence("")}, backend.ErrFenced},
		"exclusive": {[]s2.StreamOption{s2.Exclusive()}, backend.ErrConflict},
	} {
		srv, st := fresh(t, nil, c.opts...)
		old, err := producer.New(t.Context(), st, codec.String(), producer.BatchRecords(10))
		check(t, err)
		newer, err := producer.New(t.Context(), st, codec.String())
		check(t, err)
		check(t, newer.Send(t.Context(), "newer"))
		// All batches are in flight before the refusal comes.
		srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Delay(50e6)})
		var receipts []producer.Receipt
		for i := range 500 {
			if r, err := old.Enqueue(t.Context(), fmt.Sprint(i)); err == nil {
				receipts = append(receipts, r)
			}
		}
		for i, r := range receipts {
			if _, err := r.Wait(t.Context()); !errors.Is(err, c.kind) || errors.Is(err, backend.ErrIndeterminate) {
				t.Fatalf("%s: receipt %d: %v, want %v alone", what, i, err, c.kind)
			}
		}
		_ = old.Close()
		n := 0
		for rec, maybe := range old.Unacked() {
			if n++; maybe {
				t.Fatalf("%s: %q may be stored", what, rec.Value)
			}
		}
		if n != len(receipts) || n == 0 {
			t.Errorf("%s: %d records of %d are unacknowledged", what, n, len(receipts))
		}
		check(t, newer.Close())
	}
}
