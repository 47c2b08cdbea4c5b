package s2

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// sizeOf does not measure the encoding of a record up to certainToFit, so no such record may be too large for a frame.
func TestARecordTakesAtMostTwiceItsMeteredSizeOnTheWire(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	lengths := []int{0, 1, 2, 3, 126, 127, 128, 129, 16_383, 16_384}
	length := func() int { return lengths[dice.IntN(len(lengths))] }
	for range 20_000 {
		r := backend.Record{Value: make([]byte, length())}
		if dice.IntN(2) == 0 {
			r.Time = time.UnixMilli(dice.Int64())
		}
		for range dice.IntN(4) {
			r.Headers = append(r.Headers, backend.Header{Name: strings.Repeat("n", length()), Value: make([]byte, length())})
		}
		if enc, n := wire.SizeRecord(&r), Metered(&r); enc > 2*n+32 {
			t.Fatalf("%d encoded bytes for a metered size of %d: %d headers, a value of %d bytes", enc, n, len(r.Headers), len(r.Value))
		}
	}
}

func TestARecordThatFitsTheLimitAndNoFrameIsRefused(t *testing.T) {
	h := backend.Header{Name: "n", Value: []byte("v")} // 4 metered bytes, 8 on the wire
	fits := backend.Record{Headers: make(backend.Headers, (certainToFit-8)/4)}
	for i := range fits.Headers {
		fits.Headers[i] = h
	}
	if _, err := sizeOf(fits.Value, fits.Headers, fits.Time); err != nil || wire.SizeRecord(&fits)+conditionBytes > s2s.MaxPayload {
		t.Errorf("%d headers: %v", len(fits.Headers), err)
	}
	large := backend.Record{Headers: make(backend.Headers, (BatchBytes-8)/4)}
	for i := range large.Headers {
		large.Headers[i] = h
	}
	if n, err := sizeOf(large.Value, large.Headers, large.Time); n > BatchBytes || !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("a record of %d metered and %d encoded bytes: %v", n, wire.SizeRecord(&large), err)
	}
}
