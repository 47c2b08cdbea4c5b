package protobuf_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func small() *testpb.Small {
	return &testpb.Small{
		Id: "o-000042", Customer: "customer-7", Cents: 129_900, Rush: true,
		Placed: &timestamppb.Timestamp{Seconds: 1_772_600_767, Nanos: 89_000_000}, Skus: []string{"sku-1", "sku-2"},
	}
}

func order() *testpb.Order {
	return &testpb.Order{
		Id: "o-1", Status: testpb.Order_STATUS_PAID, Lines: []*testpb.Order_Line{{Sku: "s", Quantity: 1}}, Priority: proto.Int32(0),
		BySku: map[string]*testpb.Order_Line{"a": {Sku: "a", Quantity: 1}, "b": {Sku: "b", Quantity: 2}}, Blob: []byte{0, 0xff},
		Payment: &testpb.Order_Cash{Cash: &testpb.Money{Units: 3}}, Readings: []int64{-1, 1 << 40},
	}
}

func equal[T proto.Message](a, b T) bool { return proto.Equal(a, b) }

func TestConformance(t *testing.T) {
	for name, opts := range map[string][]protobuf.Option{
		"binary":        nil,
		"deterministic": {protobuf.Deterministic()},
		"JSON":          {protobuf.JSON()},
		"proto names":   {protobuf.ProtoNames()},
		"validated":     {protobuf.Validate()},
	} {
		t.Run(name, func(t *testing.T) {
			c := protobuf.Codec[*testpb.Order](opts...)
			codectest.RunFunc(t, c, equal, order(), &testpb.Order{Id: "o", Blob: bytes.Repeat([]byte("x"), 20_000)})
			codectest.Refuses(t, c, nil, &testpb.Order{Id: "\xff"})
		})
	}
	t.Run("empty", func(t *testing.T) {
		codectest.RunFunc(t, protobuf.Codec[*testpb.Small](), equal, small(), &testpb.Small{})
	})
	t.Run("proto2", func(t *testing.T) {
		c := protobuf.Codec[*testpb.Legacy]()
		m := &testpb.Legacy{Name: proto.String("n"), Detail: &testpb.Legacy_Detail{Note: proto.String("d")}}
		proto.SetExtension(m, testpb.E_Label, "label")
		codectest.RunFunc(t, c, equal, m)
		codectest.Refuses(t, c, &testpb.Legacy{}) // the name is required
		if _, err := c.Decode(nil); err == nil {
			t.Error("a record without a required field is accepted")
		}
	})
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		name string
		got  codec.Format
		want string
	}{
		{"binary", protobuf.Codec[*testpb.Order]().Format(), "application/x-protobuf; proto=headrace.test.orders.v1.Order"},
		{"nested", protobuf.Codec[*testpb.Order_Line]().Format(), "application/x-protobuf; proto=headrace.test.orders.v1.Order.Line"},
		{"JSON", protobuf.Codec[*testpb.Order](protobuf.JSON()).Format(), "application/json"},
		{"proto names", protobuf.Codec[*testpb.Order](protobuf.ProtoNames()).Format(), "application/json"},
		{"own", protobuf.Codec[*testpb.Order](protobuf.ContentType("application/protobuf")).Format(), "application/protobuf"},
		{"none", protobuf.Codec[*testpb.Order](protobuf.ContentType("")).Format(), ""},
	} {
		if c.got.ContentType != c.want || c.got.ContentEncoding != "" || len(c.got.Schema) == 0 {
			t.Errorf("%s: got %q, %q and %d bytes of schema, want %q", c.name, c.got.ContentType, c.got.ContentEncoding, len(c.got.Schema), c.want)
		}
	}
}

func TestNil(t *testing.T) {
	for name, c := range map[string]codec.Codec[*testpb.Order]{
		"binary": protobuf.Codec[*testpb.Order](), "JSON": protobuf.Codec[*testpb.Order](protobuf.JSON()),
		"validated": protobuf.Codec[*testpb.Order](protobuf.Validate()),
	} {
		_, err := c.AppendEncode(nil, nil)
		if want := "protobuf: encode headrace.test.orders.v1.Order: nil message"; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestUnknownFields(t *testing.T) {
	raw := protowire.AppendTag(nil, 1, protowire.BytesType)
	raw = protowire.AppendString(raw, "known")
	raw = protowire.AppendTag(raw, 999, protowire.VarintType)
	raw = protowire.AppendVarint(raw, 7)
	c := protobuf.Codec[*testpb.Small]()
	v, err := c.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.AppendEncode(nil, v); err != nil || !bytes.Equal(out, raw) {
		t.Errorf("an unknown field does not pass through: %x, want %x (%v)", out, raw, err)
	}
	js := protobuf.Codec[*testpb.Small](protobuf.JSON())
	if v, err := js.Decode([]byte(`{"id":"known","later":[1]}`)); err != nil || v.Id != "known" {
		t.Errorf("JSON with an unknown field: %v, %v", v, err)
	}
}

func TestJSONNames(t *testing.T) {
	m := &testpb.Order{Id: "o", BySku: map[string]*testpb.Order_Line{"a": {}}}
	camel, snake := protobuf.Codec[*testpb.Order](protobuf.JSON()), protobuf.Codec[*testpb.Order](protobuf.ProtoNames())
	a, errA := camel.AppendEncode(nil, m)
	b, errB := snake.AppendEncode(nil, m)
	if errA != nil || errB != nil || !strings.Contains(string(a), `"bySku"`) || !strings.Contains(string(b), `"by_sku"`) {
		t.Fatalf("got %s, %v and %s, %v", a, errA, b, errB)
	}
	for _, src := range [][]byte{a, b} {
		for _, c := range []codec.Codec[*testpb.Order]{camel, snake} {
			if v, err := c.Decode(src); err != nil || !proto.Equal(v, m) {
				t.Errorf("%s decodes to %v, %v", src, v, err)
			}
		}
	}
	for _, bad := range []string{`{"id":"o"} {}`, `{"id":"o"`, ``, `null x`, `{"id":"o","id":"p"}`} {
		if v, err := camel.Decode([]byte(bad)); err == nil {
			t.Errorf("%s decodes to %v", bad, v)
		}
	}
}

func TestDeterministic(t *testing.T) {
	c := protobuf.Codec[*testpb.Order](protobuf.Deterministic())
	m := &testpb.Order{History: map[int32]testpb.Order_Status{}}
	for i := range int32(50) {
		m.History[i] = testpb.Order_STATUS_PAID
	}
	first, err := c.AppendEncode(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := c.AppendEncode(nil, m); err != nil || !bytes.Equal(again, first) {
			t.Fatalf("equal messages, other bytes (%v)", err)
		}
	}
}

// Decoding copies, so that a kept message does not hold on to its batch.
func TestDecodeCopies(t *testing.T) {
	c := protobuf.Codec[*testpb.Order]()
	src, err := c.AppendEncode(nil, order())
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Decode(src)
	if err != nil {
		t.Fatal(err)
	}
	clear(src)
	if !proto.Equal(v, order()) {
		t.Error("the message changed with its record")
	}
}

func TestErrorsNameTheMessage(t *testing.T) {
	_, err := protobuf.Codec[*testpb.Order]().Decode([]byte("\xff"))
	if err == nil || !strings.HasPrefix(err.Error(), "protobuf: decode headrace.test.orders.v1.Order: ") || !errors.Is(err, proto.Error) {
		t.Errorf("got %v", err)
	}
}

func TestConstructorPanics(t *testing.T) {
	mustPanic(t, "protobuf: Codec needs the type of one message, not an interface", func() { protobuf.Codec[proto.Message]() })
	mustPanic(t, "protobuf: Codec needs a generated message type; Dynamic makes the codec of a descriptor", func() { protobuf.Codec[*dynamicpb.Message]() })
	mustPanic(t, "protobuf: Codec needs a generated message type, protobuf_test.wrapper is none", func() { protobuf.Codec[wrapper]() })
}

type wrapper struct{ *testpb.Order }

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, want) {
			t.Errorf("panics with %q, want %q", s, want)
		}
	}()
	f()
}
