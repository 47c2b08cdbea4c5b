package zerobus_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec/protobuf"
)

// message is the schema of a message with a number of integer fields, and the fields f.
func message(t testing.TB, n int, f ...*descriptorpb.FieldDescriptorProto) []byte {
	t.Helper()
	d := &descriptorpb.DescriptorProto{Name: proto.String("Row"), Field: f}
	for i := range n {
		d.Field = append(d.Field, &descriptorpb.FieldDescriptorProto{
			Name: proto.String(fmt.Sprint("f", i)), Number: proto.Int32(int32(i + 1)),
			Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		})
	}
	b, err := proto.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessagesThatNoTableHoldsAreRefusedBeforeAnyRequest(t *testing.T) {
	itself := &descriptorpb.FieldDescriptorProto{
		Name: proto.String("parent"), Number: proto.Int32(5000), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(),
		TypeName: proto.String(".acme.v1.Row"), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	for name, c := range map[string]struct {
		schema []byte
		says   string
	}{
		"too many columns": {message(t, 2001), "2001 fields"},
		"recursive":        {message(t, 1, itself), "contains itself"},
		"recursive deeper": {protobuf.Codec[*structpb.Struct]().Format().Schema, "contains itself"},
		"no descriptor":    {[]byte{0xff}, "not a DescriptorProto"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t)
			f := backend.Format{ContentType: "application/x-protobuf", Schema: c.schema}
			_, err := clientOf(config(srv)).Table(table).NewAppender(f).Open(limited(t))
			wantIs(t, err, backend.ErrRejected)
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
			if n := srv.Stats().TokenRequests; n != 0 {
				t.Errorf("%d token requests", n)
			}
		})
	}
	for name, schema := range map[string][]byte{"2,000 columns": message(t, 2000), "flat": protobuf.Codec[*durationpb.Duration]().Format().Schema} {
		s, err := clientOf(config(serve(t))).Table(table).NewAppender(backend.Format{ContentType: "application/x-protobuf", Schema: schema}).Open(limited(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = s.Close()
	}
}
