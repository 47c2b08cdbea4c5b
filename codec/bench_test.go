package codec_test

import (
	stdjson "encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// basket is order with another struct in its slice, where most of the time goes to what both engines do alike.
type basket struct {
	ID       string    `json:"id"`
	Customer string    `json:"customer"`
	Cents    int64     `json:"cents"`
	Rush     bool      `json:"rush"`
	Placed   time.Time `json:"placed"`
	Lines    []line    `json:"lines"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// The records differ, so that the sharing of repeated strings is not flattered by one record over and over.
func benchOrders() (orders [256]order, baskets [256]basket) {
	for i := range orders {
		sku := [2]string{fmt.Sprintf("sku-%d", i), fmt.Sprintf("sku-%d", i+1)}
		orders[i] = order{
			ID: fmt.Sprintf("o-%06d", i*7919), Customer: fmt.Sprintf("customer-%d", i%13), Cents: int64(i) * 1299,
			Rush: i%2 == 0, Placed: time.Date(2026, 3, 4, 5, 6, i%60, i*1_000_000, time.UTC), SKUs: sku[:],
		}
		o := orders[i]
		baskets[i] = basket{o.ID, o.Customer, o.Cents, o.Rush, o.Placed, []line{{sku[0], i}, {sku[1], 2}}}
	}
	return orders, baskets
}

func BenchmarkJSONEncode(b *testing.B) {
	orders, baskets := benchOrders()
	buf := make([]byte, 0, 4096)
	oc, bc := codec.JSON[order](), codec.JSON[basket]()
	perRecord(b, "order/headrace", func(i int) error { _, err := oc.AppendEncode(buf, orders[i%256]); return err })
	perRecord(b, "order/encoding-json", func(i int) error { _, err := stdjson.Marshal(orders[i%256]); return err })
	perRecord(b, "nested/headrace", func(i int) error { _, err := bc.AppendEncode(buf, baskets[i%256]); return err })
	perRecord(b, "nested/encoding-json", func(i int) error { _, err := stdjson.Marshal(baskets[i%256]); return err })
}

func BenchmarkJSONDecode(b *testing.B) {
	oc, bc := codec.JSON[order](), codec.JSON[basket]()
	var flat, nested [256][]byte
	orders, baskets := benchOrders()
	for i := range flat {
		flat[i], _ = oc.AppendEncode(nil, orders[i])
		nested[i], _ = bc.AppendEncode(nil, baskets[i])
	}
	perRecord(b, "order/headrace", func(i int) error { _, err := oc.Decode(flat[i%256]); return err })
	perRecord(b, "order/encoding-json", func(i int) error { var o order; return stdjson.Unmarshal(flat[i%256], &o) })
	perRecord(b, "nested/headrace", func(i int) error { _, err := bc.Decode(nested[i%256]); return err })
	perRecord(b, "nested/encoding-json", func(i int) error { var o basket; return stdjson.Unmarshal(nested[i%256], &o) })
}

func BenchmarkBytes(b *testing.B) {
	v, buf, c := make([]byte, 100), make([]byte, 0, 128), codec.Bytes()
	perRecord(b, "encode", func(int) error { _, err := c.AppendEncode(buf, v); return err })
	perRecord(b, "copy", func(int) error { copy(buf[:100], v); return nil })
	perRecord(b, "decode", func(int) error { _, err := c.Decode(v); return err })
}

func perRecord(b *testing.B, name string, f func(i int) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if err := f(i); err != nil {
				b.Fatal(err)
			}
			i++
		}
		b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "records/s")
	})
}
