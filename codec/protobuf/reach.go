package protobuf

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// A closure lists all types in the reach of a message.
type closure struct {
	messages   []protoreflect.MessageDescriptor // the root first; no map entries
	enums      []protoreflect.EnumDescriptor
	extensions []protoreflect.ExtensionDescriptor

	seen map[protoreflect.FullName]bool
}

func newClosure(root protoreflect.MessageDescriptor) *closure {
	c := &closure{seen: map[protoreflect.FullName]bool{}}
	c.message(root)
	// Extensions in other files are left out. A program knows only the extensions in the files that are linked into the
	// program, and the schema must not depend on the other code of a program.
	declared := extensionsOf(root.ParentFile(), map[string]bool{})
	for done := 0; done < len(c.messages); {
		done = len(c.messages)
		for _, x := range declared {
			if c.seen[x.ContainingMessage().FullName()] && !c.seen[x.FullName()] {
				c.seen[x.FullName()] = true
				c.extensions = append(c.extensions, x)
				c.field(x) // the field may add messages, and the messages may have further extensions
			}
		}
	}
	return c
}

// message adds a message and everything in its fields. A message can contain itself, so seen is set first.
func (c *closure) message(m protoreflect.MessageDescriptor) {
	if c.seen[m.FullName()] {
		return
	}
	c.seen[m.FullName()] = true
	if !m.IsMapEntry() {
		c.messages = append(c.messages, m)
	}
	for i := range m.Fields().Len() {
		c.field(m.Fields().Get(i))
	}
}

// field adds the type of a field.
func (c *closure) field(f protoreflect.FieldDescriptor) {
	if m := f.Message(); m != nil {
		c.message(m)
	}
	if e := f.Enum(); e != nil && !c.seen[e.FullName()] {
		c.seen[e.FullName()] = true
		c.enums = append(c.enums, e)
	}
}

// extensionsOf returns the extensions that f and its imports declare.
func extensionsOf(f protoreflect.FileDescriptor, seen map[string]bool) (all []protoreflect.ExtensionDescriptor) {
	if f.IsPlaceholder() || seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	var within func(protoreflect.ExtensionDescriptors, protoreflect.MessageDescriptors)
	within = func(xs protoreflect.ExtensionDescriptors, ms protoreflect.MessageDescriptors) {
		for i := range xs.Len() {
			all = append(all, xs.Get(i))
		}
		for i := range ms.Len() {
			within(ms.Get(i).Extensions(), ms.Get(i).Messages())
		}
	}
	within(f.Extensions(), f.Messages())
	for i := range f.Imports().Len() {
		all = slices.Concat(all, extensionsOf(f.Imports().Get(i).FileDescriptor, seen))
	}
	return all
}
