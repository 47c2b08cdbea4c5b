package zerobustest

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
func (s *schema) protoCheck(descriptor []byte) (func([]byte) error, error) {
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
	if err := s.compare(md); err != nil {
		return nil, err.rejected("")
	}
	return func(rec []byte) error {
		m := dynamicpb.NewMessage(md)
		if err := proto.Unmarshal(rec, m); err != nil { // a required field that is absent is an error too
			return fmt.Errorf("not a message of the stream's descriptor: %w", err)
		}
		return nil
	}, nil
}

// compare says all that does not fit. A column that may be null may be left out; one that the table has not may not be
// sent; the fields stand in the order of the columns.
func (s *schema) compare(md protoreflect.MessageDescriptor) *schemaError {
	var e schemaError
	var texts []string
	add := func(cause, format string, args ...any) {
		if !slices.Contains(e.causes, cause) {
			e.causes = append(e.causes, cause)
		}
		texts = append(texts, fmt.Sprintf(format, args...))
	}
	if n := md.Fields().Len(); n > len(s.columns) {
		add(countMismatch, "the message has %d fields, the table %d columns", n, len(s.columns))
	}
	last := -1
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		name := string(f.Name())
		at := slices.IndexFunc(s.columns, func(c Column) bool { return c.Name == name })
		switch {
		case at < 0:
			add(notInTable, "field %q is not in the table", name)
			continue
		case at < last:
			add(outOfOrder, "field %q is not in the order of the columns", name)
		}
		last = max(last, at)
		if got, want := deltaType(f), stored(s.columns[at].Type); got != want {
			add(incompatible, "field %q is a %v, which does not fit column type %s", name, f.Kind(), s.columns[at].Type)
		}
	}
	for _, c := range s.columns {
		if c.Required && md.Fields().ByName(protoreflect.Name(c.Name)) == nil {
			add(missing, "column %q is required", c.Name)
		}
	}
	if len(e.causes) == 0 {
		return nil
	}
	e.text = strings.Join(texts, "; ")
	return &e
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

// DescriptorColumns returns the columns of a table for a serialized google.protobuf.DescriptorProto: see [Columns].
func DescriptorColumns(descriptor []byte) ([]Column, error) {
	var dp descriptorpb.DescriptorProto
	if err := proto.Unmarshal(descriptor, &dp); err != nil {
		return nil, fmt.Errorf("zerobustest: not a DescriptorProto: %w", err)
	}
	md, err := message(&dp)
	if err != nil {
		return nil, fmt.Errorf("zerobustest: descriptor: %w", err)
	}
	return Columns(md), nil
}
