package codec_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// order is the struct of the benchmarks: six fields, one of them a time and one a slice.
type order struct {
	ID       string    `json:"id"`
	Customer string    `json:"customer"`
	Cents    int64     `json:"cents"`
	Rush     bool      `json:"rush"`
	Placed   time.Time `json:"placed"`
	SKUs     []string  `json:"skus"`
}

var sampleOrder = order{
	ID: "o-000042", Customer: "customer-7", Cents: 129_900, Rush: true,
	Placed: time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC), SKUs: []string{"sku-1", "sku-2"},
}
