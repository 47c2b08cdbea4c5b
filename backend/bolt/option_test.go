package bolt_test

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

func TestOpenRefusesAWrongOption(t *testing.T) {
	for text, o := range map[string]bolt.Option{"an option is nil": nil, "FileBytes(-1)": bolt.FileBytes(-1)} {
		path := tempFile(t)
		db, err := bolt.Open(path, o)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file was created", text)
		}
	}
}

func TestAZeroIsTheDefaultOfTheFile(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path, bolt.FileMode(0), bolt.FileBytes(0))
	appendAll(t, db.Stream("s"), values(0, 1))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
}

func TestEveryOperationRefusesAWrongStreamOption(t *testing.T) {
	db := openFile(t, tempFile(t))
	for _, c := range []struct {
		option bolt.StreamOption
		text   string
	}{
		{nil, "an option is nil"},
		{bolt.BatchRecords(-1), "BatchRecords(-1)"},
		{bolt.BatchBytes(-2), "BatchBytes(-2)"},
		{bolt.RecordBytes(-3), "RecordBytes(-3)"},
		{bolt.InFlight(-4), "InFlight(-4)"},
	} {
		s := db.Stream("orders", c.option)
		_, opened := s.NewAppender(backend.Format{}).Open(ctx)
		_, read := s.OpenReader(ctx, backend.Earliest)
		_, tail := s.Tail(ctx, backend.Earliest)
		for op, err := range map[string]error{
			"open": opened, "read": read, "tail": tail,
			"trim": s.Trim(ctx, backend.Latest), "seal": s.Seal(ctx),
		} {
			if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), `"orders"`) {
				t.Errorf("%s: %s: %v", c.text, op, err)
			}
		}
	}
	// Another Stream of the same name is as usable as before.
	appendAll(t, db.Stream("orders"), values(0, 1))
}

func TestAZeroIsTheDefaultLimitOfAStream(t *testing.T) {
	db := openFile(t, tempFile(t))
	limits := func(opts ...bolt.StreamOption) [4]int {
		l := db.Stream("s", opts...).NewAppender(backend.Format{}).Limits()
		return [4]int{l.BatchRecords, l.BatchBytes, l.RecordBytes, l.InFlight}
	}
	zero := limits(bolt.BatchRecords(0), bolt.BatchBytes(0), bolt.RecordBytes(0), bolt.InFlight(0))
	if zero != limits() || zero != [4]int{10_000, 4 << 20, 4 << 20, 16} {
		t.Errorf("zeros give the limits %v, no options give %v", zero, limits())
	}
	const most = math.MaxInt
	largest := limits(bolt.BatchRecords(most), bolt.BatchBytes(most), bolt.RecordBytes(most), bolt.InFlight(most))
	if largest != [4]int{0, 1 << 30, 1 << 30, 0} {
		t.Errorf("math.MaxInt gives the limits %v", largest)
	}
}
