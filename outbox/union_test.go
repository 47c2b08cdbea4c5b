package outbox_test

import (
	"reflect"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/outbox"
	"github.com/headrace/headrace/producer"
)

// What the outbox puts, a consumer with the same codec can read: also where the codec writes headers.
func TestHeadersOfTheCodecArePut(t *testing.T) {
	c := codec.Union("type", codec.Case[any]("change", codec.JSON[change]()), codec.Case[any]("paid", codec.JSON[paid]()))
	var tx []backend.Record
	own := backend.Headers{{Name: "type", Value: []byte("of the caller")}}
	values := []any{change{1, 2}, paid{"a", 3}}
	err := outbox.New(&ledger{}, c).PutRecords(t.Context(), &tx,
		producer.Record[any]{Value: values[0]}, producer.Record[any]{Value: values[1], Headers: own})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range tx {
		if got, err := c.DecodeRecord(r.Value, r.Headers); err != nil || !reflect.DeepEqual(got, values[i]) {
			t.Errorf("%v, %v; want %v", got, err, values[i])
		}
	}
	if len(tx[1].Headers) != 2 {
		t.Errorf("headers %v", tx[1].Headers)
	}
}
