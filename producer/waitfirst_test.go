package producer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func TestWaitFirstCountsWhatIsDurableWithoutAGap(t *testing.T) {
	p, err := producer.New(t.Context(), backendtest.Discard(backend.Limits{}), codec.String(), producer.BatchRecords(3))
	if err != nil {
		t.Fatal(err)
	}
	var stored []producer.Receipt
	for range 7 { // in three batches
		r, err := p.Enqueue(t.Context(), "value")
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, r)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	bad := errors.New("bad")
	failed, durable := producer.Resolved("", bad), producer.Resolved("1", nil)
	for name, c := range map[string]struct {
		receipts []producer.Receipt
		n        int
		err      error
	}{
		"nothing":                 {},
		"several batches":         {stored, 7, nil},
		"skipped between":         {[]producer.Receipt{producer.Skip, durable, producer.Skip}, 3, nil},
		"a failure first":         {[]producer.Receipt{failed, durable}, 0, bad},
		"a failure later":         {append(stored[:7:7], failed, durable), 7, nil},
		"a failure behind a skip": {[]producer.Receipt{producer.Skip, failed}, 1, nil},
		"no receipt later":        {[]producer.Receipt{durable, {}}, 1, nil},
	} {
		if n, err := producer.WaitFirst(t.Context(), c.receipts); n != c.n || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v; want %d, %v", name, n, err, c.n, c.err)
		}
	}
	if n, err := producer.WaitFirst(t.Context(), make([]producer.Receipt, 1)); n != 0 || err == nil {
		t.Errorf("zero receipt: %d, %v", n, err)
	}
	if n := testing.AllocsPerRun(100, func() { producer.WaitFirst(context.Background(), stored) }); n != 0 {
		t.Errorf("%v allocations for %d receipts", n, len(stored))
	}
}

// Only the first receipt is waited for, and makes its batch due: a later receipt that is open does not delay the records
// before it.
func TestWaitFirstDoesNotWaitForLaterReceipts(t *testing.T) {
	p := open(t, backendtest.Discard(backend.Limits{}), producer.Linger(time.Hour))
	r, err := p.Enqueue(t.Context(), "lingers")
	if err != nil {
		t.Fatal(err)
	}
	receipts := []producer.Receipt{producer.Resolved("1", nil), r}
	if n, err := producer.WaitFirst(t.Context(), receipts); n != 1 || err != nil {
		t.Errorf("%d, %v; want the durable record alone", n, err)
	}
	if n, err := producer.WaitFirst(t.Context(), receipts[1:]); n != 1 || err != nil {
		t.Errorf("%d, %v; want the record that lingered", n, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
