package protobuf

import (
	"testing"

	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var placed = &timestamppb.Timestamp{Seconds: 1_772_600_767, Nanos: 89_000_000}

// fullOrder has something in every field.
func fullOrder(t testing.TB) *testpb.Order {
	t.Helper()
	extra, err := structpb.NewStruct(map[string]any{"a": []any{1.5, "b", nil, true}, "c": map[string]any{"d": "e"}})
	if err != nil {
		t.Fatal(err)
	}
	attachment, err := anypb.New(placed)
	if err != nil {
		t.Fatal(err)
	}
	euro := &testpb.Money{Currency: testpb.Currency_CURRENCY_EUR, Units: -12, Nanos: 5}
	line := &testpb.Order_Line{
		Sku: "sku-1", Quantity: 2, Price: euro,
		Parts: []*testpb.Order_Line{{Sku: "part", Quantity: 1, Parts: []*testpb.Order_Line{{Sku: "part of it", Quantity: 9}}}},
	}
	bay := &testpb.Depot_Bay{Number: 4, Side: testpb.Depot_Bay_SIDE_LEFT, Kind: testpb.Depot_KIND_COLD}
	return &testpb.Order{
		Id: "o-1", Customer: "customer-7", Status: testpb.Order_STATUS_PAID, Lines: []*testpb.Order_Line{line, {Sku: "sku-2", Quantity: 1}},
		BySku:   map[string]*testpb.Order_Line{"sku-1": line, "": {Sku: "empty key", Quantity: 1}},
		History: map[int32]testpb.Order_Status{-1: testpb.Order_STATUS_SHIPPED, 0: testpb.Order_STATUS_UNSPECIFIED},
		Placed:  placed, Extra: extra, Priority: proto.Int32(0), Payment: &testpb.Order_Cash{Cash: euro},
		Readings: []int64{-1, 0, 1 << 40}, Flags: []bool{true, false}, Currency: testpb.Currency_CURRENCY_USD,
		Blob: []byte{0, 0xff}, Total: 1299.5, Parent: &testpb.Order{Id: "o-0", Payment: &testpb.Order_Card{Card: "4111"}},
		Bay: bay, Kind: testpb.Depot_KIND_COLD, Discount: wrapperspb.Double(0.5), Attachment: attachment, Tip: &testpb.Money{},
		GoogleProtobuf_Timestamp: "a name", Stamps: map[string]*timestamppb.Timestamp{"packed": placed},
	}
}

func fullLegacy() *testpb.Legacy {
	m := &testpb.Legacy{
		Name: proto.String("n"), Retries: proto.Int32(7), Grade: testpb.Grade_GRADE_GOOD.Enum(), Unpacked: []int32{1, 2},
		Packed: []int32{3, 4}, Blob: []byte{1}, Choice: &testpb.Legacy_Number{Number: 5},
		Detail: &testpb.Legacy_Detail{Note: proto.String("note"), Entry: []*testpb.Legacy_Detail_Entry{{Grade: testpb.Grade_GRADE_BAD.Enum()}, {}}},
	}
	proto.SetExtension(m, testpb.E_Label, "label")
	proto.SetExtension(m, testpb.E_Marks, []int32{-1, 1})
	proto.SetExtension(m, testpb.E_Holder_Held, &testpb.Holder{Depth: proto.Int32(1), Grade: testpb.Grade_GRADE_GOOD.Enum()})
	proto.SetExtension(m, testpb.E_Holder_Price, &testpb.Money{Units: 3})
	return m
}

func smallOrder() *testpb.Small {
	return &testpb.Small{Id: "o-000042", Customer: "customer-7", Cents: 129_900, Rush: true, Placed: placed, Skus: []string{"sku-1", "sku-2"}}
}
