package zerobus

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/producer"
)

// A row is a row of a JSON stream.
type row struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

// numbered returns n rows of different lengths.
func numbered(n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{i, strings.Repeat("ü✓", i%90)}
	}
	return rows
}

// produce enqueues all values with a new producer, and closes the producer.
func produce[T any](t *testing.T, sink backend.Sink, c codec.Codec[T], values []T, opts ...producer.Option) {
	t.Helper()
	p, err := producer.New(t.Context(), sink, c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, v := range values {
		if _, err := p.Enqueue(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// encoded returns the records that a producer makes of values.
func encoded[T any](t *testing.T, c codec.Codec[T], values []T) (all [][]byte) {
	t.Helper()
	for _, v := range values {
		b, err := c.AppendEncode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// same fails unless the rows are those that we want, in the same order.
func same(t *testing.T, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("row %d is %.40q… (%d bytes, %x), want %.40q… (%d bytes, %x)", i,
				got[i], len(got[i]), sha256.Sum256(got[i]), want[i], len(want[i]), sha256.Sum256(want[i]))
		}
	}
}

// exchanged writes values to a table and returns the only stream, after a look at the rows and at what the stream began with.
func exchanged[T any](t *testing.T, w way, c codec.Codec[T], values []T) stream {
	t.Helper()
	x := newTable(t)
	produce(t, x.sink(t, w), c, values)
	same(t, x.rows(t), encoded(t, c, values))
	streams := x.streams(t)
	if len(streams) != 1 {
		t.Fatalf("%d streams, want 1", len(streams))
	}
	s := streams[0]
	m := s.Metadata
	if s.Table != x.name || m["authorization"] != token || m["x-databricks-zerobus-table-name"] != x.name ||
		!strings.HasPrefix(m["user-agent"], "headrace") {
		t.Errorf("the stream began with %+v", s)
	}
	return s
}

func TestRowsOfJSONArriveOnceAndInOrder(t *testing.T) {
	for _, w := range append(ways, pinged) {
		t.Run(string(w), func(t *testing.T) {
			if s := exchanged(t, w, codec.JSON[row](), numbered(5000)); s.Kind != 2 || s.Descriptor != nil {
				t.Errorf("type %d with a descriptor of %d bytes", s.Kind, len(s.Descriptor))
			}
		})
	}
}

func TestRowsOfProtobufArriveOnceAndInOrder(t *testing.T) {
	for _, w := range append(ways, pinged) {
		t.Run(string(w), func(t *testing.T) {
			c := protobuf.Codec[*wrapperspb.StringValue]()
			var values []*wrapperspb.StringValue
			for _, r := range numbered(5000) { // the first one is empty, and so is its record
				values = append(values, wrapperspb.String(r.Text))
			}
			if s := exchanged(t, w, c, values); s.Kind != 1 || !bytes.Equal(s.Descriptor, c.Format().Schema) {
				t.Errorf("type %d with a descriptor of %d bytes", s.Kind, len(s.Descriptor))
			}
		})
	}
}

// A message is larger than the windows of the server, which grow only when the client reads what the server says. The largest
// record is the largest that a request may hold.
func TestRowsLargerThanEveryWindowArrive(t *testing.T) {
	for _, w := range append(ways, pinged) {
		t.Run(string(w), func(t *testing.T) {
			var values []row
			for i, size := range []int{4 << 20, 10, 9 << 20, 0, 10_420_224 - len(`{"n":4,"text":""}`), 65_535, 65_536} {
				values = append(values, row{i, strings.Repeat(string(rune('a'+i)), size)})
			}
			exchanged(t, w, codec.JSON[row](), values)
		})
	}
}

// wide is a message with so many and so long names of fields that its descriptor is larger than the first window of HTTP/2.
func wide(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	m := &descriptorpb.DescriptorProto{Name: proto.String("Wide")}
	for i := range 1999 {
		m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{
			Name:   proto.String(fmt.Sprintf("column_%04d_%s", i, strings.Repeat("x", 60))),
			Number: proto.Int32(int32(i + 1)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
		})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("wide.proto"), MessageType: []*descriptorpb.DescriptorProto{m},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

// The descriptor is in the first message, before the server has given any room. Without an answer in between, its rest must wait.
func TestDescriptorLargerThanTheFirstWindowOpensAStream(t *testing.T) {
	for _, w := range append(ways, pinged) {
		t.Run(string(w), func(t *testing.T) {
			c := protobuf.Raw(wide(t))
			schema := c.Format().Schema
			if len(schema) <= 1<<16 {
				t.Fatalf("the descriptor has only %d bytes", len(schema))
			}
			var values [][]byte
			for _, size := range []int{0, 9 << 20, 5} {
				b, err := proto.Marshal(wrapperspb.String(strings.Repeat("w", size)))
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, b)
			}
			if s := exchanged(t, w, c, values); !bytes.Equal(s.Descriptor, schema) {
				t.Errorf("a descriptor of %d bytes arrived, want %d", len(s.Descriptor), len(schema))
			}
		})
	}
}
