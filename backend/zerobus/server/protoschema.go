package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protoCheck compares the descriptor of a stream with the columns. It returns the function that checks the records of
// the stream. A table without columns accepts every record, and any descriptor that can be read, because checking each
// record would cost a lot.
func (s *fieldSet) protoCheck(descriptor []byte) (func([]byte) error, error) {
	var dp descriptorpb.DescriptorProto
	if err := proto.Unmarshal(descriptor, &dp); err != nil {
		return nil, errors.New("descriptor_proto is not a DescriptorProto: send the descriptor of the message, and not of its file")
	}
	if s == nil {
		return nil, nil
	}
	// A table without columns has returned above: protobuf need not resolve a descriptor that nobody compares.
	md, err := message(&dp)
	if err != nil {
		return nil, fmt.Errorf("descriptor_proto: %w: the descriptor must contain all messages and enums that its fields use", err)
	}
	var c comparison
	c.message("", s, md)
	if len(c.causes) > 0 {
		return nil, &schemaError{causes: c.causes, text: strings.Join(c.texts, "; ")}
	}
	return func(rec []byte) error {
		m := dynamicpb.NewMessage(md)
		// Partial messages are allowed here, so that checkMessage reports a missing field first: its error names the
		// column and has a cause, as at the service. CheckInitialized would only name the field.
		err := proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(rec, m)
		if err == nil {
			if err := s.checkMessage("", m); err != nil {
				return err
			}
			err = proto.CheckInitialized(m)
		}
		if err != nil {
			return fmt.Errorf("not a message of the stream's descriptor: %w", err)
		}
		return nil
	}, nil
}

// A comparison collects all differences between a descriptor and the columns, because the service reports them
// together. A client that got one difference at a time would need a round for each.
type comparison struct {
	causes, texts []string
}

func (c *comparison) add(cause, format string, args ...any) {
	if !slices.Contains(c.causes, cause) {
		c.causes = append(c.causes, cause)
	}
	c.texts = append(c.texts, fmt.Sprintf(format, args...))
}

// message compares a message with the columns of a table, or with the fields of a STRUCT. Only columns that may be NULL
// may be missing in the message. The message may have no other fields than the columns, and its fields stand in the
// order of the columns.
func (c *comparison) message(path string, s *fieldSet, md protoreflect.MessageDescriptor) {
	if n := md.Fields().Len(); n > len(s.list) {
		c.add(countMismatch, "the message has %d fields, the table %d columns", n, len(s.list))
	}
	last := -1
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		name := path + string(f.Name())
		at, ok := s.byName[string(f.Name())]
		if !ok {
			c.add(notInTable, "field %q is not in the table", name)
			continue
		}
		if at < last {
			// Field numbers do not count. The order of the fields in the descriptor is the order of the columns, as the
			// generator tools of the service write it.
			c.add(outOfOrder, "field %q is not in the order of the columns", name)
		}
		last = max(last, at)
		c.field(name, s.list[at].typ, f)
	}
	for _, f := range s.list {
		if f.required && md.Fields().ByName(protoreflect.Name(f.name)) == nil {
			c.add(missing, "column %q is required", path+f.name)
		}
	}
}

// field compares a field with the type of its column. An ARRAY or a MAP without declared elements takes any, and only
// the form is compared.
func (c *comparison) field(name string, t *deltaType, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsMap() != (t.kind == "MAP") || f.IsList() != (t.kind == "ARRAY"):
		// A list or a map has another form on the wire than a single value, so the two are compared before the types
		// of the values.
		c.misfit(name, t, f)
	case f.IsMap() && t.elem != nil:
		c.single(name, t.key, f.MapKey())
		c.single(name, t.elem, f.MapValue())
	case f.IsList() && t.elem != nil:
		c.single(name, t.elem, f)
	case !f.IsMap() && !f.IsList():
		c.single(name, t, f)
	}
}

// single compares one value of a field with a type. The elements of lists and maps are single values too, so their
// types are compared by the same rules as columns.
func (c *comparison) single(name string, t *deltaType, f protoreflect.FieldDescriptor) {
	switch {
	case scalarOf(f) != t.stored():
		c.misfit(name, t, f)
	case t.fields != nil:
		c.message(name+".", t.fields, f.Message())
	}
}

func (c *comparison) misfit(name string, t *deltaType, f protoreflect.FieldDescriptor) {
	c.add(incompatible, "field %q is a %v, which does not fit column type %s", name, f.Kind(), t.text)
}

// message makes a message type from a descriptor without a file. A DescriptorProto does not contain the package and the
// syntax of its file. We find the package in the names of its nested types, and rewrite the features of proto3 to
// proto2.
func message(dp *descriptorpb.DescriptorProto) (protoreflect.MessageDescriptor, error) {
	dp = proto.CloneOf(dp)
	plain(dp)
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("stream.proto"), MessageType: []*descriptorpb.DescriptorProto{dp}}
	// The names of nested types are absolute. Without the right package, protobuf would not find the types.
	if p := packageOf(dp, dp.GetName()); p != "" {
		file.Package = proto.String(p)
	}
	// The second argument would resolve imports. A descriptor has no imports: all its types are nested in it.
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		return nil, err
	}
	return fd.Messages().Get(0), nil
}

// packageOf returns the package of the message. The name of a nested type has the package in front of the message's
// name. packageOf returns "" if no field refers to a nested type.
func packageOf(dp *descriptorpb.DescriptorProto, name string) string {
	for _, f := range dp.GetField() {
		if p, _, ok := strings.Cut(strings.TrimPrefix(f.GetTypeName(), "."), "."+name+"."); ok {
			return p
		}
	}
	for _, n := range dp.GetNestedType() {
		if p := packageOf(n, name); p != "" {
			return p
		}
	}
	return ""
}

// plain rewrites the optional fields of proto3 as optional fields of proto2. It drops the synthetic oneofs of these
// fields; the compiler puts them behind all other oneofs, so the remaining indexes stay right.
func plain(dp *descriptorpb.DescriptorProto) {
	synthetic := 0
	for _, f := range dp.GetField() {
		if f.GetProto3Optional() {
			f.Proto3Optional, f.OneofIndex = nil, nil
			synthetic++
		}
	}
	dp.OneofDecl = dp.GetOneofDecl()[:max(len(dp.GetOneofDecl())-synthetic, 0)]
	for _, n := range dp.GetNestedType() {
		plain(n)
	}
}
