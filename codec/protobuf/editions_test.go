package protobuf

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A file of edition 2023 as its compiler would describe it. The features of the file are those of proto3, some fields
// have others.
const editionFile = `
name: "edition.proto" package: "ed" edition: EDITION_2023 syntax: "editions"
options { features { field_presence: IMPLICIT  enum_type: OPEN } }
message_type {
  name: "Edition"
  field { name: "implicit" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "explicit" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL options { features { field_presence: EXPLICIT } } }
  field { name: "required" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL options { features { field_presence: LEGACY_REQUIRED } } }
  field { name: "packed" number: 4 type: TYPE_INT32 label: LABEL_REPEATED }
  field { name: "expanded" number: 5 type: TYPE_INT32 label: LABEL_REPEATED options { features { repeated_field_encoding: EXPANDED } } }
  field { name: "part" number: 6 type: TYPE_MESSAGE type_name: ".ed.Edition.Part" label: LABEL_OPTIONAL options { features { message_encoding: DELIMITED } } }
  field { name: "closed" number: 7 type: TYPE_ENUM type_name: ".ed.Closed" label: LABEL_OPTIONAL options { features { field_presence: EXPLICIT } } }
  field { name: "byname" number: 8 type: TYPE_MESSAGE type_name: ".ed.Edition.BynameEntry" label: LABEL_REPEATED }
  nested_type { name: "Part" field { name: "n" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }
  nested_type {
    name: "BynameEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".ed.Edition.Part" label: LABEL_OPTIONAL }
  }
}
message_type {
  name: "Loose"
  field { name: "odd" number: 1 type: TYPE_MESSAGE type_name: ".ed.Edition.Part" label: LABEL_OPTIONAL options { features { message_encoding: DELIMITED } } }
}
enum_type { name: "Closed" options { features { enum_type: CLOSED } } value { name: "ONE" number: 1 } value { name: "TWO" number: 2 } }
`

func edition(t *testing.T, name protoreflect.Name) protoreflect.MessageDescriptor {
	t.Helper()
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(editionFile), file); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(file, new(protoregistry.Files))
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().ByName(name)
}

func fromText(t *testing.T, md protoreflect.MessageDescriptor, text string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The features of an edition, which a lone message does not have, become what they mean.
func TestSchemaOfAnEdition(t *testing.T) {
	md := edition(t, "Edition")
	fd := link(t, schema(md), "proto2")
	throughSchema(t, fd, fromText(t, md, `
		implicit: 1 explicit: 0 required: "" packed: [1, 2] expanded: [3, 4] part { n: 5 } closed: TWO
		byname { key: "a" value { n: 6 } }`))
	throughSchema(t, fd, fromText(t, md, `required: "only"`))

	fields := fd.Messages().Get(0).Fields()
	for name, is := range map[protoreflect.Name]bool{
		"required": fields.ByName("required").Cardinality() == protoreflect.Required,
		"explicit": fields.ByName("explicit").HasPresence(),
		"packed":   fields.ByName("packed").IsPacked(),
		"expanded": !fields.ByName("expanded").IsPacked(),
		"part":     fields.ByName("part").Kind() == protoreflect.GroupKind,
		"closed":   fields.ByName("closed").Enum().IsClosed(),
	} {
		if !is {
			t.Errorf("%s is not what its features say", name)
		}
	}
	for _, f := range fold(md).Field {
		if f.GetOptions().GetFeatures() != nil {
			t.Errorf("features are left: %v", f)
		}
	}
}

// What cannot be said in proto2 is at least said so that bytes decode, where the linker does not mind.
func TestSchemaOfALooseGroup(t *testing.T) {
	md := edition(t, "Loose")
	d := fold(md)
	if d.Field[0].GetType() != descriptorpb.FieldDescriptorProto_TYPE_GROUP || d.Field[0].GetTypeName() != ".Loose.ed_Edition_Part" {
		t.Fatalf("got %v", d.Field[0])
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("store.proto"), Syntax: proto.String("editions"), Edition: descriptorpb.Edition_EDITION_2023.Enum(),
		MessageType: []*descriptorpb.DescriptorProto{d},
	}
	fd, err := protodesc.NewFile(file, new(protoregistry.Files))
	if err != nil {
		t.Fatal(err)
	}
	throughSchema(t, fd, fromText(t, md, `odd { n: 7 }`))
}
