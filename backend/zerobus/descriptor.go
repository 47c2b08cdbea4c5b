package zerobus

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// maxColumns is how many columns a table of the service has at most.
const maxColumns = 2_000

// checkDescriptor refuses a message that no table can hold. The service would refuse the message too, but later and with a
// less clear error.
func checkDescriptor(schema []byte) error {
	var d descriptorpb.DescriptorProto
	if err := proto.Unmarshal(schema, &d); err != nil {
		return fmt.Errorf("%w: the schema of the format is not a DescriptorProto: %w", backend.ErrRejected, err)
	}
	if n := len(d.GetField()); n > maxColumns {
		return fmt.Errorf("message %s has %d fields, and a table has at most %d columns: %w", httpwire.Clip(d.GetName()), n, maxColumns, backend.ErrRejected)
	}
	g := &messageGraph{fields: map[string][]string{}, done: map[string]bool{}}
	g.add("", &d)
	if cycle := g.cycle(d.GetName(), nil); cycle != nil {
		return fmt.Errorf("message %s contains itself (%s), and a column has a type of finite depth: %w", httpwire.Clip(cycle[0]), httpwire.Clip(strings.Join(cycle, " > ")), backend.ErrRejected)
	}
	return nil
}

// A messageGraph has the message types of the fields of each message. The names of messages begin at the root, without
// a package.
type messageGraph struct {
	fields map[string][]string // by the name of the message: the names of the types of its fields, as the schema writes them
	done   map[string]bool     // messages without a way to a cycle; without done, a deep schema would take exponential time
}

func (g *messageGraph) add(within string, d *descriptorpb.DescriptorProto) {
	name := strings.TrimPrefix(within+"."+d.GetName(), ".")
	g.fields[name] = nil
	for _, f := range d.GetField() {
		if t := f.GetType(); t == descriptorpb.FieldDescriptorProto_TYPE_MESSAGE || t == descriptorpb.FieldDescriptorProto_TYPE_GROUP {
			g.fields[name] = append(g.fields[name], f.GetTypeName())
		}
	}
	for _, nested := range d.GetNestedType() {
		g.add(name, nested)
	}
}

// find returns the message type of a field of the message within; "" if the schema does not have the type. Like protobuf, find
// looks for a relative name from the inside to the outside. A full name may begin with a package.
func (g *messageGraph) find(within, name string) string {
	if full, ok := strings.CutPrefix(name, "."); ok {
		for {
			if _, ok := g.fields[full]; ok {
				return full
			}
			_, rest, more := strings.Cut(full, ".")
			if !more {
				return ""
			}
			full = rest
		}
	}
	for {
		candidate := strings.TrimPrefix(within+"."+name, ".")
		if _, ok := g.fields[candidate]; ok {
			return candidate
		}
		if within == "" {
			return ""
		}
		within = within[:max(strings.LastIndexByte(within, '.'), 0)]
	}
}

// cycle returns the messages on a way from a message back to the same message; nil if there is no cycle below the message
// called name.
func (g *messageGraph) cycle(name string, way []string) []string {
	if i := slices.Index(way, name); i >= 0 {
		return append(slices.Clone(way[i:]), name)
	}
	if g.done[name] {
		return nil
	}
	way = append(way, name)
	for _, f := range g.fields[name] {
		if next := g.find(name, f); next != "" {
			if c := g.cycle(next, way); c != nil {
				return c
			}
		}
	}
	g.done[name] = true
	return nil
}
