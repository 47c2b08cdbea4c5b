package protobuf_test

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	orderspb "github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func ExampleCodec() {
	c := protobuf.Codec[*orderspb.Order]()
	b, err := c.AppendEncode(nil, &orderspb.Order{Id: "o-1", Customer: "ada"})
	fmt.Printf("%q %v\n", b, err)

	o, err := c.Decode(b)
	fmt.Println(o.Id, o.Customer, err)
	fmt.Println(c.Format().ContentType)
	// Output:
	// "\n\x03o-1\x12\x03ada" <nil>
	// o-1 ada <nil>
	// application/x-protobuf; proto=headrace.test.orders.v1.Order
}

// The schema is one descriptor with all that the message refers to inside.
func ExampleCodec_schema() {
	c := protobuf.Codec[*orderspb.Order_Line]()
	var d descriptorpb.DescriptorProto
	if err := proto.Unmarshal(c.Format().Schema, &d); err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range d.Field {
		fmt.Printf("%s = %d %s\n", f.GetName(), f.GetNumber(), cmp.Or(f.GetTypeName(), "scalar"))
	}
	for _, n := range d.NestedType {
		fmt.Println("nested:", n.GetName())
	}
	// Output:
	// sku = 1 scalar
	// quantity = 2 scalar
	// price = 3 .Line.headrace_test_common_Money
	// parts = 4 .Line
	// nested: headrace_test_common_Money
	// nested: headrace_test_common_Currency
}

func ExampleJSON() {
	c := protobuf.Codec[*timestamppb.Timestamp](protobuf.JSON())
	b, err := c.AppendEncode(nil, &timestamppb.Timestamp{Seconds: 1_772_600_767})
	fmt.Println(string(b), err)
	// Output: "2026-03-04T05:06:07Z" <nil>
}

func ExampleValidate() {
	c := protobuf.Codec[*orderspb.Order](protobuf.Validate())
	_, err := c.AppendEncode(nil, &orderspb.Order{Lines: []*orderspb.Order_Line{{Sku: "sku-1"}}})

	var invalid *codec.InvalidError // as from codec.Validate
	fmt.Println(errors.As(err, &invalid))

	var broken *protobuf.ValidationError
	if errors.As(err, &broken) {
		for _, v := range broken.Violations {
			fmt.Println(v.Field, "breaks", v.Rule)
		}
	}
	// Output:
	// true
	// id breaks string.min_len
	// lines[0].quantity breaks int32.gt
}
