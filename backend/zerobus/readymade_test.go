package zerobus_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/producer"
)

// stores sends v and checks that the table holds the bytes.
func stores[T any](t *testing.T, c codec.Codec[T], v T, want string) {
	t.Helper()
	srv := serve(t)
	p, err := producer.New(t.Context(), clientOf(config(srv)).Table(table), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if got := values(srv); len(got) != 1 || got[0] != want {
		t.Errorf("%T: %q, want %q", c, got, want)
	}
}

func TestReadyMadeRowsAreStoredAsTheyAre(t *testing.T) {
	row := &durationpb.Duration{Seconds: 7}
	b, err := proto.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	md := row.ProtoReflect().Descriptor()
	dynamic := dynamicpb.NewMessage(md)
	dynamic.Set(md.Fields().ByName("seconds"), row.ProtoReflect().Get(md.Fields().ByName("seconds")))
	stores(t, codec.RawJSON(), []byte(`{"n":1}`), `{"n":1}`)
	stores(t, protobuf.Raw(md), b, string(b))
	stores(t, protobuf.Dynamic(md), dynamic, string(b))
	stores(t, codec.FuncFormat(protobuf.Raw(md).Format(), func(dst []byte, v int) ([]byte, error) { return append(dst, b...), nil }, nil), 1, string(b))
}
