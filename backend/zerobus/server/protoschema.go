package server

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protoCheck compares the descriptor of a stream with the columns and returns what checks its records. A table without
// columns takes every record of a stream whose descriptor can be read, as the check of a record costs a lot.
func (s *fieldSet) protoCheck(descriptor []byte) (func([]byte) error, error) {
	var dp descriptorpb.DescriptorProto
	if err := proto.Unmarshal(descriptor, &dp); err != nil {
		return nil, status.Error(codes.InvalidArgument, "descriptor_proto is not a DescriptorProto")
	}
	if s == nil {
		return nil, nil
	}
	md, err := message(&dp)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "descriptor_proto: %v", err)
	}
	var c comparison
	c.message("", s, md)
	if len(c.causes) > 0 {
		return nil, (&schemaError{causes: c.causes, text: strings.Join(c.texts, "; ")}).rejected("")
	}
	return func(rec []byte) error {
		m := dynamicpb.NewMessage(md)
		// A field that is absent is told by its column first, which has a cause.
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

// A comparison collects all in which a descriptor does not fit.
type comparison struct {
	causes, texts []string
}

func (c *comparison) add(cause, format string, args ...any) {
	if !slices.Contains(c.causes, cause) {
		c.causes = append(c.causes, cause)
	}
	c.texts = append(c.texts, fmt.Sprintf(format, args...))
}

// message compares a message with the columns, or with the fields of a STRUCT. A column that may be null may be left out; one
// that the table does not have may not be sent; the fields stand in the order of the columns.
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

// field compares a field with the type of its column.
func (c *comparison) field(name string, t *deltaType, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsMap() != (t.kind == "MAP") || f.IsList() != (t.kind == "ARRAY"):
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

// single compares one value of a field with a type.
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

// message makes a type of a descriptor that stands alone. A DescriptorProto does not say its file's package or syntax:
// the package is in the names of its own nested types, and the traces of proto3 are removed.
func message(dp *descriptorpb.DescriptorProto) (protoreflect.MessageDescriptor, error) {
	dp = proto.CloneOf(dp)
	plain(dp)
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("stream.proto"), MessageType: []*descriptorpb.DescriptorProto{dp}}
	if p := packageOf(dp, dp.GetName()); p != "" {
		file.Package = proto.String(p)
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		return nil, err
	}
	return fd.Messages().Get(0), nil
}

// packageOf finds what stands before the message's name in the name of a type nested in it.
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

// plain makes fields that are optional in the way of proto3 optional in the way of proto2, and drops the oneofs made for
// them, which stand behind the real ones.
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
