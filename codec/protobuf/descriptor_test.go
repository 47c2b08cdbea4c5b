package protobuf_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

var smallDescriptor = (*testpb.Small)(nil).ProtoReflect().Descriptor()

func sample() *testpb.Small {
	return &testpb.Small{Id: "o-1", Customer: "c-7", Cents: 129_900, Rush: true, Skus: []string{"sku-1"}}
}

// dynamic returns the message as a program sees it that has only the descriptor.
func dynamic(t *testing.T, m proto.Message) *dynamicpb.Message {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := dynamicpb.NewMessage(m.ProtoReflect().Descriptor())
	if err := proto.Unmarshal(b, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADynamicMessageIsEncodedAsTheGeneratedOne(t *testing.T) {
	equal := func(a, b *dynamicpb.Message) bool { return proto.Equal(a, b) }
	for name, opts := range map[string][]protobuf.Option{
		"binary": nil, "JSON": {protobuf.JSON()}, "validated": {protobuf.Validate()},
	} {
		t.Run(name, func(t *testing.T) {
			c, generated := protobuf.Dynamic(smallDescriptor, opts...), protobuf.Codec[*testpb.Small](opts...)
			codectest.RunFunc(t, c, equal, dynamic(t, sample()), dynamicpb.NewMessage(smallDescriptor))
			got, want := c.Format(), generated.Format()
			if got.ContentType != want.ContentType || !bytes.Equal(got.Schema, want.Schema) {
				t.Errorf("the format is %+v, want %+v", got, want)
			}
			b, err := c.AppendEncode(nil, dynamic(t, sample()))
			if err != nil {
				t.Fatal(err)
			}
			if back, err := generated.Decode(b); err != nil || !proto.Equal(back, sample()) {
				t.Errorf("the generated type decodes %v, %v", back, err)
			}
			codectest.Refuses(t, c, nil, new(dynamicpb.Message), dynamicpb.NewMessage((*testpb.Money)(nil).ProtoReflect().Descriptor()))
		})
	}
}

func TestRawTakesWellFormedMessagesOnly(t *testing.T) {
	b, err := proto.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	c := protobuf.Raw(smallDescriptor)
	codectest.Run(t, c, b, []byte{})
	got, want := c.Format(), protobuf.Codec[*testpb.Small]().Format()
	if got.ContentType != want.ContentType || !bytes.Equal(got.Schema, want.Schema) {
		t.Errorf("the format is %+v, want %+v", got, want)
	}
	for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), []byte("{\"id\":1}"), {0xff}} {
		codectest.Refuses(t, c, bad)
		if v, err := c.Decode(bad); err == nil || v != nil {
			t.Errorf("%q decodes to %q", bad, v)
		}
	}
}

func TestMistakesInTheDescriptorPanic(t *testing.T) {
	for want, call := range map[string]func(){
		"Raw needs a descriptor":     func() { protobuf.Raw(nil) },
		"Dynamic needs a descriptor": func() { protobuf.Dynamic(nil) },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, want) {
					t.Errorf("the panic says %q, want %q", p, want)
				}
			}()
			call()
		}()
	}
}
