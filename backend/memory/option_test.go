package memory_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
)

func TestEveryOperationRefusesAWrongOption(t *testing.T) {
	for _, c := range []struct {
		option memory.Option
		text   string
	}{
		{nil, "an option is nil"},
		{memory.BatchRecords(-1), "BatchRecords(-1)"},
		{memory.BatchBytes(-2), "BatchBytes(-2)"},
		{memory.RecordBytes(-3), "RecordBytes(-3)"},
		{memory.InFlight(-4), "InFlight(-4)"},
	} {
		s := memory.New(c.option)
		_, opened := s.NewAppender(backend.Format{}).Open(t.Context())
		_, read := s.OpenReader(t.Context(), backend.Earliest)
		_, tail := s.Tail(t.Context(), backend.Earliest)
		for op, err := range map[string]error{
			"open": opened, "read": read, "tail": tail,
			"trim": s.Trim(t.Context(), backend.Latest), "seal": s.Seal(t.Context()),
		} {
			if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %s: %v", c.text, op, err)
			}
		}
		if n := s.Len() + len(s.Records()); n != 0 {
			t.Errorf("%s: %d records", c.text, n)
		}
	}
}

func TestAZeroIsTheDefaultLimit(t *testing.T) {
	limits := func(opts ...memory.Option) [4]int {
		l := memory.New(opts...).NewAppender(backend.Format{}).Limits()
		return [4]int{l.BatchRecords, l.BatchBytes, l.RecordBytes, l.InFlight}
	}
	zero := limits(memory.BatchRecords(0), memory.BatchBytes(0), memory.RecordBytes(0), memory.InFlight(0))
	if zero != limits() || zero != [4]int{1000, 1 << 20, 1 << 20, 16} {
		t.Errorf("zeros give the limits %v, no options give %v", zero, limits())
	}
	const most = math.MaxInt
	none := limits(memory.BatchRecords(most), memory.BatchBytes(most), memory.RecordBytes(most), memory.InFlight(most))
	if none != [4]int{} {
		t.Errorf("math.MaxInt gives the limits %v, want none", none)
	}
}
