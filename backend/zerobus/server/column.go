package server

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A Column is one column of a table. Type is the Delta type as SQL writes it: TINYINT, SMALLINT, INT, BIGINT, FLOAT,
// DOUBLE, DECIMAL(p,s), STRING, BOOLEAN, BINARY, DATE, TIMESTAMP, TIMESTAMP_NTZ, VARIANT, ARRAY<T>, MAP<K,V> or
// STRUCT<name: T NOT NULL, …>. An ARRAY, MAP or STRUCT without declared elements takes any elements. A server does not
// start with any other type. It also does not start with the types that the service refuses: arrays of arrays and maps
// of maps.
type Column struct {
	Name     string
	Type     string
	Required bool // NOT NULL
}

// Columns returns the columns of a table for a message: one column for each field, required if the field is required. A
// message inside itself becomes a STRUCT without declared fields, because a type cannot be infinitely deep.
func Columns(md protoreflect.MessageDescriptor) []Column {
	var out []Column
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		required := f.Cardinality() == protoreflect.Required
		out = append(out, Column{Name: string(f.Name()), Type: typeOf(f, []protoreflect.FullName{md.FullName()}), Required: required})
	}
	return out
}

// DescriptorColumns returns the columns of a table for a serialized google.protobuf.DescriptorProto: see [Columns].
func DescriptorColumns(descriptor []byte) ([]Column, error) {
	var dp descriptorpb.DescriptorProto
	if err := proto.Unmarshal(descriptor, &dp); err != nil {
		return nil, fmt.Errorf("zerobus server: not a DescriptorProto: %w", err)
	}
	md, err := message(&dp)
	if err != nil {
		return nil, fmt.Errorf("zerobus server: descriptor: %w", err)
	}
	return Columns(md), nil
}

// typeOf returns the column type for a field. inside names the messages around the field.
func typeOf(f protoreflect.FieldDescriptor, inside []protoreflect.FullName) string {
	switch {
	case f.IsMap():
		return "MAP<" + scalarOf(f.MapKey()) + ", " + singleType(f.MapValue(), inside) + ">"
	case f.IsList():
		return "ARRAY<" + singleType(f, inside) + ">"
	}
	return singleType(f, inside)
}

// singleType returns the column type for one value of a field, without looking at whether the field is repeated.
func singleType(f protoreflect.FieldDescriptor, inside []protoreflect.FullName) string {
	md := f.Message()
	if md == nil {
		return scalarOf(f)
	}
	if slices.Contains(inside, md.FullName()) {
		return "STRUCT"
	}
	// The full slice expression makes append copy. Two fields of the same message would otherwise write their names
	// into the same memory.
	inside = append(inside[:len(inside):len(inside)], md.FullName())
	var fields []string
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		text := string(f.Name()) + ": " + typeOf(f, inside)
		if f.Cardinality() == protoreflect.Required {
			text += " NOT NULL"
		}
		fields = append(fields, text)
	}
	return "STRUCT<" + strings.Join(fields, ", ") + ">"
}

// scalarOf returns the type as which the wire carries one value of a field. Several column types share a wire type: see
// stored. Unsigned numbers become BIGINT, because Delta has no unsigned types.
func scalarOf(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.EnumKind:
		return "INT"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "BIGINT"
	case protoreflect.FloatKind:
		return "FLOAT"
	case protoreflect.DoubleKind:
		return "DOUBLE"
	case protoreflect.BoolKind:
		return "BOOLEAN"
	case protoreflect.BytesKind:
		return "BINARY"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return "STRUCT"
	}
	return "STRING"
}

// stored returns the type as which a PROTO stream carries the values of the column. The generator tools of the service
// make the same choices, so the descriptors of its clients fit.
func (t *deltaType) stored() string {
	switch t.kind {
	case "TINYINT", "SMALLINT", "DATE":
		return "INT"
	case "TIMESTAMP", "TIMESTAMP_NTZ":
		return "BIGINT"
	case "VARIANT", "DECIMAL":
		return "STRING"
	}
	return t.kind
}
