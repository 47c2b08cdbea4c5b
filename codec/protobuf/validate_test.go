package protobuf_test

import (
	"errors"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
)

func badOrder() *testpb.Order {
	return &testpb.Order{
		Customer: strings.Repeat("x", 21), Lines: []*testpb.Order_Line{{Sku: "s", Quantity: 1}, {Quantity: 1}},
		BySku: map[string]*testpb.Order_Line{"key": {Sku: "s"}},
	}
}

func TestValidate(t *testing.T) {
	c := protobuf.Codec[*testpb.Order](protobuf.Validate())
	record, err := protobuf.Codec[*testpb.Order]().AppendEncode(nil, badOrder())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"id": "string.min_len", "customer": "string.max_len", "lines[1].sku": "string.min_len", `by_sku["key"].quantity`: "int32.gt",
	}
	for name, call := range map[string]func() error{
		"encode": func() error { _, err := c.AppendEncode(nil, badOrder()); return err },
		"decode": func() error { _, err := c.Decode(record); return err },
	} {
		err := call()
		var invalid *codec.InvalidError
		var broken *protobuf.ValidationError
		var original *protovalidate.ValidationError
		if !errors.As(err, &invalid) || !errors.As(err, &broken) || !errors.As(err, &original) {
			t.Fatalf("%s: %v has not all its types", name, err)
		}
		if broken.Name != "headrace.test.orders.v1.Order" || len(broken.Violations) != len(want) {
			t.Errorf("%s: %s and %d violations, want %d", name, broken.Name, len(broken.Violations), len(want))
		}
		for _, v := range broken.Violations {
			if want[v.Field] != v.Rule || v.Message == "" {
				t.Errorf("%s: violation %+v, want the rule %q", name, v, want[v.Field])
			}
			if !strings.Contains(err.Error(), v.String()) {
				t.Errorf("%s: %v does not say %v", name, err, v)
			}
		}
	}
	codectest.Refuses(t, c, badOrder())
}

// A rule for the whole message has no field.
func TestValidateMessageRule(t *testing.T) {
	c := protobuf.Codec[*testpb.Order](protobuf.Validate())
	_, err := c.AppendEncode(nil, &testpb.Order{Id: "o", Status: testpb.Order_STATUS_PAID})
	var broken *protobuf.ValidationError
	if !errors.As(err, &broken) || len(broken.Violations) != 1 || broken.Violations[0] != (protobuf.Violation{Rule: "order.lines", Message: "a paid order has lines"}) {
		t.Errorf("got %v", err)
	}
	want := "codec: invalid value: protobuf: validate headrace.test.orders.v1.Order: a paid order has lines [order.lines]"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// JSON is validated like binary, options reach protovalidate, and what cannot be decoded is no invalid value.
func TestValidateOptions(t *testing.T) {
	c := protobuf.Codec[*testpb.Order](protobuf.JSON(), protobuf.Validate(protovalidate.WithFailFast()))
	_, err := c.AppendEncode(nil, badOrder())
	var broken *protobuf.ValidationError
	if !errors.As(err, &broken) || len(broken.Violations) != 1 {
		t.Errorf("failing fast: %v", err)
	}
	var invalid *codec.InvalidError
	if _, err := c.Decode([]byte(`{`)); err == nil || errors.As(err, &invalid) {
		t.Errorf("a broken record: %v", err)
	}
	// All that a message can hold is compiled beforehand.
	eager := protobuf.Codec[*testpb.Order](protobuf.Validate(protovalidate.WithDisableLazy()))
	if _, err := eager.AppendEncode(nil, order()); err != nil {
		t.Errorf("without lazy compilation: %v", err)
	}
}

func TestViolationString(t *testing.T) {
	for want, v := range map[string]protobuf.Violation{
		"a.b: is wrong [r]": {Field: "a.b", Rule: "r", Message: "is wrong"},
		"a.b: is wrong":     {Field: "a.b", Message: "is wrong"},
		"is wrong [r]":      {Rule: "r", Message: "is wrong"},
		"is invalid [r]":    {Rule: "r"},
	} {
		if v.String() != want {
			t.Errorf("got %q, want %q", v, want)
		}
	}
}

// A rule that does not compile is found when the codec is made, wherever in the message it is.
func TestValidateBrokenRule(t *testing.T) {
	protobuf.Codec[*testpb.HoldsBroken]()
	mustPanic(t, "protobuf: validate headrace.test.broken.HoldsBroken: compilation error", func() {
		protobuf.Codec[*testpb.HoldsBroken](protobuf.Validate())
	})
}
