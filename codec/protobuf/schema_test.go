package protobuf

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// link builds a message type from a schema alone, as a store would: in a file of its own, with nothing to import.
func link(t *testing.T, schema []byte, syntax string) protoreflect.FileDescriptor {
	t.Helper()
	d := new(descriptorpb.DescriptorProto)
	if err := proto.Unmarshal(schema, d); err != nil {
		t.Fatal(err)
	}
	if n := len(d.ProtoReflect().GetUnknown()); n > 0 {
		t.Errorf("the schema has %d bytes of unknown fields", n)
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("store.proto"), Syntax: proto.String(syntax), MessageType: []*descriptorpb.DescriptorProto{d},
	}
	fd, err := protodesc.NewFile(file, new(protoregistry.Files))
	if err != nil {
		t.Fatalf("the schema does not link by itself as %s: %v\n%v", syntax, err, d)
	}
	return fd
}

// throughSchema decodes m's bytes with the linked schema and compares what comes out, field by field and byte by byte.
func throughSchema(t *testing.T, fd protoreflect.FileDescriptor, m proto.Message) {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	files := new(protoregistry.Files)
	if err := files.RegisterFile(fd); err != nil {
		t.Fatal(err)
	}
	d := dynamicpb.NewMessage(fd.Messages().Get(0))
	if err := (proto.UnmarshalOptions{Resolver: dynamicpb.NewTypes(files)}).Unmarshal(raw, d); err != nil {
		t.Fatalf("real bytes do not decode with the schema: %v", err)
	}
	if err := sameFields(m.ProtoReflect(), d.ProtoReflect()); err != nil {
		t.Errorf("with the schema it is another message: %v", err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("with the schema it encodes to other bytes (%v):\n%x\n%x", err, again, raw)
	}
}

// sameFields compares what is set in want, by the generated descriptor, with what is set in got, by the folded one.
func sameFields(want, got protoreflect.Message) (err error) {
	if n := len(got.GetUnknown()); n > 0 {
		return fmt.Errorf("%s: %d bytes are unknown to the schema", want.Descriptor().FullName(), n)
	}
	count := 0
	got.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { count++; return true })
	want.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		// Fields without presence that are zero are in neither; the others have presence in the schema.
		var g protoreflect.FieldDescriptor
		got.Range(func(d protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if d.Number() == f.Number() {
				g = d
			}
			return g == nil
		})
		count--
		switch {
		case g == nil:
			err = fmt.Errorf("%s is not there", f.FullName())
		case f.Kind() != g.Kind() || f.IsList() != g.IsList() || f.IsMap() != g.IsMap() || (!f.IsExtension() && f.Name() != g.Name()):
			err = fmt.Errorf("%s is %v %v, a %v", f.FullName(), g.FullName(), g.Cardinality(), g.Kind())
		case (f.ContainingOneof() != nil && !f.ContainingOneof().IsSynthetic()) != (g.ContainingOneof() != nil):
			err = fmt.Errorf("%s and its oneof", f.FullName())
		case f.IsMap():
			w, m := v.Map(), got.Get(g).Map()
			if w.Len() != m.Len() {
				err = fmt.Errorf("%s has %d entries, want %d", f.FullName(), m.Len(), w.Len())
			}
			w.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				err = sameValue(f.MapValue(), v, m.Get(k))
				return err == nil
			})
		case f.IsList():
			w, l := v.List(), got.Get(g).List()
			if w.Len() != l.Len() {
				err = fmt.Errorf("%s has %d elements, want %d", f.FullName(), l.Len(), w.Len())
			}
			for i := 0; i < w.Len() && err == nil; i++ {
				err = sameValue(f, w.Get(i), l.Get(i))
			}
		default:
			err = sameValue(f, v, got.Get(g))
		}
		return err == nil
	})
	if err == nil && count != 0 {
		err = fmt.Errorf("%s has %d fields more", want.Descriptor().FullName(), count)
	}
	return err
}

func sameValue(f protoreflect.FieldDescriptor, want, got protoreflect.Value) error {
	if f.Message() != nil {
		return sameFields(want.Message(), got.Message())
	}
	if !want.Equal(got) {
		return fmt.Errorf("%s is %v, want %v", f.FullName(), got, want)
	}
	return nil
}

func TestSchemaIsSelfContained(t *testing.T) {
	full := fullOrder(t)
	depot := &testpb.Depot{City: "c", Shelf: &testpb.Depot_Shelf{Label: "l", Depot: &testpb.Depot{City: "d"}, Bay: full.Bay}, Bays: map[string]*testpb.Depot_Bay{"b": full.Bay}}
	for _, c := range []struct {
		name    string
		message proto.Message
		proto3  bool // can be read as proto3
	}{
		{"everything in proto3", full, true},
		{"an empty message", &testpb.Order{}, true},
		{"everything in proto2", fullLegacy(), false},
		{"proto2 as little as possible", &testpb.Legacy{Name: proto.String("")}, false},
		{"a nested message", full.Lines[0], true},
		{"nested in what it needs", depot.Shelf, true},
		{"what it is nested in", depot, true},
		{"a well-known type", full.Extra, true},
		{"a descriptor", protodesc.ToDescriptorProto(smallOrder().ProtoReflect().Descriptor()), false},
		{"simple", smallOrder(), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			desc := c.message.ProtoReflect().Descriptor()
			b := schema(desc)
			if again := schema(desc); !bytes.Equal(b, again) {
				t.Error("the schema differs from time to time")
			}
			throughSchema(t, link(t, b, "proto2"), c.message)
			if c.proto3 {
				fd := link(t, b, "proto3")
				d := dynamicpb.NewMessage(fd.Messages().Get(0))
				raw, _ := proto.Marshal(c.message)
				if err := proto.Unmarshal(raw, d); err != nil {
					t.Errorf("read as proto3: %v", err)
				}
			}
		})
	}
}

// The places and names that the package page promises.
func TestSchemaPlaces(t *testing.T) {
	order := link(t, schema((*testpb.Order)(nil).ProtoReflect().Descriptor()), "proto2").Messages().Get(0)
	for path, want := range map[string]string{
		"Line":                                   "message",
		"Line.price":                             "Order.headrace_test_common_Money",
		"Line.parts":                             "Order.Line",
		"lines":                                  "Order.Line",
		"status":                                 "Order.Status",
		"parent":                                 "Order",
		"bay":                                    "Order.headrace_test_orders_v1_Depot_Bay",
		"headrace_test_orders_v1_Depot_Bay":      "message",
		"headrace_test_orders_v1_Depot_Bay.side": "Order.headrace_test_orders_v1_Depot_Bay.Side",
		"headrace_test_orders_v1_Depot_Bay.kind": "Order.headrace_test_orders_v1_Depot_Kind.Kind",
		"kind":                                   "Order.headrace_test_orders_v1_Depot_Kind.Kind",
		"currency":                               "Order.headrace_test_common_Currency.Currency",
		"placed":                                 "Order.google_protobuf_Timestamp_", // the plain name is a field
		"extra":                                  "Order.google_protobuf_Struct",
		"google_protobuf_Struct.fields":          "Order.google_protobuf_Struct.FieldsEntry",
		"google_protobuf_Value.null_value":       "Order.google_protobuf_NullValue.NullValue",
		"google_protobuf_Value.struct_value":     "Order.google_protobuf_Struct",
		"discount":                               "Order.google_protobuf_DoubleValue",
		"by_sku":                                 "Order.BySkuEntry",
		"headrace_test_orders_v1_Depot":          "",
		"headrace_test_orders_v1_Depot_Bay.headrace_test_whole": "",
	} {
		if got := find(order, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}

	// A message nested in one that it needs becomes the root, and the other one loses it.
	bay := link(t, schema((*testpb.Depot_Shelf)(nil).ProtoReflect().Descriptor()), "proto2").Messages().Get(0)
	for path, want := range map[string]string{
		"depot":                                  "Shelf.headrace_test_orders_v1_Depot",
		"bay":                                    "Shelf.headrace_test_orders_v1_Depot.Bay",
		"headrace_test_orders_v1_Depot.shelf":    "Shelf",
		"headrace_test_orders_v1_Depot.Shelf":    "",
		"headrace_test_orders_v1_Depot.bays":     "Shelf.headrace_test_orders_v1_Depot.BaysEntry",
		"headrace_test_orders_v1_Depot.Bay.kind": "Shelf.headrace_test_orders_v1_Depot.Kind",
	} {
		if got := find(bay, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// find returns the type of the field at the path, "message" if there is a message, "" if there is nothing.
func find(m protoreflect.MessageDescriptor, path string) string {
	for {
		name, rest, more := bytes.Cut([]byte(path), []byte("."))
		if f := m.Fields().ByName(protoreflect.Name(name)); f != nil && !more {
			if f.Enum() != nil {
				return string(f.Enum().FullName())
			}
			return string(f.Message().FullName())
		}
		if m = m.Messages().ByName(protoreflect.Name(name)); m == nil {
			return ""
		}
		if !more {
			return "message"
		}
		path = string(rest)
	}
}

// What proto2 has beyond proto3 is kept, and what comes from other syntax is spelled out.
func TestSchemaDetails(t *testing.T) {
	legacy := fold((*testpb.Legacy)(nil).ProtoReflect().Descriptor())
	linked := link(t, schema((*testpb.Legacy)(nil).ProtoReflect().Descriptor()), "proto2").Messages().Get(0)
	fields := linked.Fields()
	if f := fields.ByName("name"); f.Cardinality() != protoreflect.Required {
		t.Errorf("name is %v", f.Cardinality())
	}
	if f := fields.ByName("grade"); f.DefaultEnumValue().Name() != "GRADE_BAD" || !f.HasDefault() {
		t.Errorf("grade has the default %v", f.DefaultEnumValue())
	}
	if f := fields.ByName("blob"); string(f.Default().Bytes()) != "\x00\xff" {
		t.Errorf("blob has the default %q", f.Default().Bytes())
	}
	if fields.ByName("unpacked").IsPacked() || !fields.ByName("packed").IsPacked() {
		t.Error("packing is lost")
	}
	if f := fields.ByName("detail"); f.Kind() != protoreflect.GroupKind {
		t.Errorf("detail is a %v", f.Kind())
	}
	if !linked.ReservedRanges().Has(55) || !linked.ReservedNames().Has("gone") || !linked.ExtensionRanges().Has(150) {
		t.Error("reserved or extension ranges are lost")
	}
	if len(legacy.Extension) != 4 {
		t.Errorf("%d extensions, want those of the file and of Holder", len(legacy.Extension))
	}

	order := fold((*testpb.Order)(nil).ProtoReflect().Descriptor())
	if len(order.OneofDecl) != 1 || order.OneofDecl[0].GetName() != "payment" {
		t.Errorf("oneofs %v, want payment alone", order.OneofDecl)
	}
	for _, f := range order.Field {
		switch f.GetName() {
		case "priority", "tip":
			if f.Proto3Optional != nil || f.OneofIndex != nil || f.GetLabel() != descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL {
				t.Errorf("optional field %v", f)
			}
		case "readings":
			if !f.GetOptions().GetPacked() {
				t.Errorf("packed as proto3 packs: %v", f)
			}
		case "flags":
			if f.GetOptions().Packed == nil || f.GetOptions().GetPacked() {
				t.Errorf("not packed: %v", f)
			}
		case "id":
			if f.Options != nil {
				t.Errorf("validation rules are in the schema: %v", f)
			}
		}
	}
	if order.Options != nil {
		t.Errorf("message options %v", order.Options)
	}
}
