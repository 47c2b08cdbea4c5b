package protobuf

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// schema returns the serialized DescriptorProto of m, with all referenced types nested inside. The package
// documentation describes the result and gives the reasons.
func schema(m protoreflect.MessageDescriptor) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(fold(m))
	if err != nil {
		panic(fmt.Sprintf("protobuf: descriptor of %s: %v", m.FullName(), err)) // cannot happen: the descriptor was linked before
	}
	return b
}

// fold makes the descriptor of a message, with all types in the reach of the message inside. The order of the steps counts:
// enums and fields refer to messages, and a reference is known only when all messages have their places.
func fold(root protoreflect.MessageDescriptor) *descriptorpb.DescriptorProto {
	f := &folder{
		root:    root,
		closure: newClosure(root),
		folded:  map[protoreflect.FullName]*descriptorpb.DescriptorProto{},
		names:   map[protoreflect.FullName]string{},
		taken:   map[*descriptorpb.DescriptorProto]map[string]bool{},
	}
	// We copy all messages before we place the first one, because a message may be placed inside another.
	for _, m := range f.messages {
		f.folded[m.FullName()] = f.bare(m)
	}
	for _, m := range f.messages {
		f.message(m)
	}
	for _, e := range f.enums {
		f.enum(e)
	}
	for _, m := range f.messages {
		f.fields(m)
	}
	for _, x := range f.extensions {
		f.extension(x)
	}
	return f.folded[root.FullName()]
}

type folder struct {
	*closure
	root   protoreflect.MessageDescriptor
	folded map[protoreflect.FullName]*descriptorpb.DescriptorProto
	names  map[protoreflect.FullName]string                  // of messages and enums, in the spelling of a reference
	taken  map[*descriptorpb.DescriptorProto]map[string]bool // names in use in each message
}

// bare copies m without its fields and nested types.
func (f *folder) bare(m protoreflect.MessageDescriptor) *descriptorpb.DescriptorProto {
	d := protodesc.ToDescriptorProto(m)
	d.Field, d.NestedType, d.EnumType, d.Extension, d.Visibility = nil, nil, nil, nil, nil
	d.Options = layout(d.Options)
	for _, r := range d.ExtensionRange {
		r.Options = nil // the options may name types outside of the descriptor
	}
	// The compiler puts its own oneofs, for optional fields, behind the others, so no index changes.
	d.OneofDecl = nil
	for i := range m.Oneofs().Len() {
		if o := m.Oneofs().Get(i); !o.IsSynthetic() {
			d.OneofDecl = append(d.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String(string(o.Name()))})
		}
	}
	// A type moved into this message must not get any of these names. Otherwise two declarations would have the same name,
	// and linkers refuse the descriptor.
	taken := map[string]bool{}
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		taken[string(field.Name())] = true
		if field.IsMap() {
			taken[string(field.Message().Name())] = true
		}
	}
	for _, o := range d.OneofDecl {
		taken[o.GetName()] = true
	}
	for i := range m.Messages().Len() {
		taken[string(m.Messages().Get(i).Name())] = true
	}
	for i := range m.Enums().Len() {
		e := m.Enums().Get(i)
		taken[string(e.Name())] = true
		for k := range e.Values().Len() {
			taken[string(e.Values().Get(k).Name())] = true
		}
	}
	f.taken[d] = taken
	return d
}

// home returns the message in which d is nested, and the name of d there. declared is true if d was declared in that
// message.
func (f *folder) home(d protoreflect.Descriptor) (into protoreflect.MessageDescriptor, name string, declared bool) {
	path := string(d.Name())
	for p := d.Parent(); p != nil; p = p.Parent() {
		m, ok := p.(protoreflect.MessageDescriptor)
		if !ok {
			break
		}
		if f.folded[m.FullName()] != nil {
			return m, f.free(m, path, p == d.Parent()), p == d.Parent()
		}
		path = string(m.Name()) + "_" + path
	}
	return f.root, f.free(f.root, strings.ReplaceAll(string(d.FullName()), ".", "_"), false), false
}

// free returns name, with underscores appended until nothing else in m has the name. A type declared in m keeps its
// name.
func (f *folder) free(m protoreflect.MessageDescriptor, name string, declared bool) string {
	taken := f.taken[f.folded[m.FullName()]]
	for !declared && taken[name] {
		name += "_"
	}
	taken[name] = true
	return name
}

// message places a message in the nearest message around it, or in the root.
func (f *folder) message(m protoreflect.MessageDescriptor) {
	if m == f.root {
		return
	}
	into, name, _ := f.home(m)
	d, parent := f.folded[m.FullName()], f.folded[into.FullName()]
	d.Name = proto.String(name)
	parent.NestedType = append(parent.NestedType, d)
}

// reference returns the name of a folded message in the spelling of a field's reference. All messages must have been
// placed.
func (f *folder) reference(m protoreflect.MessageDescriptor) string {
	name := f.names[m.FullName()]
	if name != "" {
		return name
	}
	d := f.folded[m.FullName()]
	if m == f.root {
		name = "." + d.GetName()
	} else {
		name = f.reference(f.parent(m)) + "." + d.GetName()
	}
	f.names[m.FullName()] = name
	return name
}

func (f *folder) parent(d protoreflect.Descriptor) protoreflect.MessageDescriptor {
	for p := d.Parent(); p != nil; p = p.Parent() {
		if m, ok := p.(protoreflect.MessageDescriptor); ok && f.folded[m.FullName()] != nil {
			return m
		}
	}
	return f.root
}

// enum places an enum where the enum was declared, or in a message of its own. Enum values share the names of the scope
// around the enum, so the values of two enums in the root could collide.
func (f *folder) enum(e protoreflect.EnumDescriptor) {
	d := protodesc.ToEnumDescriptorProto(e)
	d.Visibility = nil
	d.Options = layout(d.Options)
	for _, v := range d.Value {
		v.Options = layout(v.Options)
	}
	into, name, declared := f.home(e)
	parent, ref := f.folded[into.FullName()], f.reference(into)
	if !declared {
		wrapper := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		parent.NestedType = append(parent.NestedType, wrapper)
		parent, ref = wrapper, ref+"."+name
	}
	parent.EnumType = append(parent.EnumType, d)
	f.names[e.FullName()] = ref + "." + d.GetName()
}

func (f *folder) fields(m protoreflect.MessageDescriptor) {
	d := f.folded[m.FullName()]
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if field.IsMap() {
			d.NestedType = append(d.NestedType, f.entry(m, field.Message()))
		}
		d.Field = append(d.Field, f.field(field))
	}
}

// entry folds the compiler's message for a map field. Linkers demand the entry inside the message of its field.
func (f *folder) entry(m, entry protoreflect.MessageDescriptor) *descriptorpb.DescriptorProto {
	f.names[entry.FullName()] = f.reference(m) + "." + string(entry.Name())
	return &descriptorpb.DescriptorProto{
		Name:    proto.String(string(entry.Name())),
		Field:   []*descriptorpb.FieldDescriptorProto{f.field(entry.Fields().Get(0)), f.field(entry.Fields().Get(1))},
		Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
	}
}

// extension folds an extension into the root, whatever message it extends.
func (f *folder) extension(x protoreflect.ExtensionDescriptor) {
	d := f.field(x)
	name := string(x.Name())
	if f.taken[f.folded[f.root.FullName()]][name] {
		name = strings.ReplaceAll(string(x.FullName()), ".", "_")
	}
	d.Name = proto.String(f.free(f.root, name, false))
	d.JsonName = nil
	d.Extendee = proto.String(f.reference(x.ContainingMessage()))
	root := f.folded[f.root.FullName()]
	root.Extension = append(root.Extension, d)
}

func (f *folder) field(field protoreflect.FieldDescriptor) *descriptorpb.FieldDescriptorProto {
	d := protodesc.ToFieldDescriptorProto(field)
	// A file of an edition gives kind and cardinality in features, so we write out the meaning of the features.
	d.Type = descriptorpb.FieldDescriptorProto_Type(field.Kind()).Enum()
	d.Label = descriptorpb.FieldDescriptorProto_Label(field.Cardinality()).Enum()
	d.Proto3Optional = nil
	if o := field.ContainingOneof(); o != nil && o.IsSynthetic() {
		d.OneofIndex = nil
	}
	switch {
	case field.Enum() != nil:
		d.TypeName = proto.String(f.names[field.Enum().FullName()])
	case field.Message() != nil && field.IsMap():
		d.TypeName = proto.String(f.names[field.Message().FullName()])
	case field.Message() != nil:
		d.TypeName = proto.String(f.reference(field.Message()))
	}
	d.Options = layout(d.Options)
	if packable(field) {
		if d.Options == nil {
			d.Options = new(descriptorpb.FieldOptions)
		}
		d.Options.Packed = proto.Bool(field.IsPacked())
	}
	return d
}

func packable(f protoreflect.FieldDescriptor) bool {
	if !f.IsList() {
		return false
	}
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return false
	}
	return true
}

// layout returns only the options of descriptor.proto itself, and no extensions. layout leaves out the features, because
// the fields write out their meaning. If no option is left, layout returns nil.
func layout[T interface {
	comparable
	proto.Message
}](options T) T {
	var none T
	m := options.ProtoReflect()
	if !m.IsValid() {
		return none
	}
	m.SetUnknown(nil)
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if f.IsExtension() || f.Name() == "features" || f.Name() == "uninterpreted_option" {
			m.Clear(f)
		}
		return true
	})
	if proto.Size(options) == 0 {
		return none
	}
	return options
}
