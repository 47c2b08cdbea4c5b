package zerobus_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// numberMessage describes a message with one field n, an int32.
func numberMessage(t testing.TB) []byte {
	t.Helper()
	b, err := proto.Marshal(&descriptorpb.DescriptorProto{Name: proto.String("Number"), Field: []*descriptorpb.FieldDescriptorProto{{
		Name: proto.String("n"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw is a codec of bytes with any format.
type raw struct {
	codec.Codec[[]byte]
	format codec.Format
}

func (r raw) Format() codec.Format { return r.format }

func protoCodec(t testing.TB) raw {
	t.Helper()
	return raw{codec.Bytes(), codec.Format{ContentType: "application/x-protobuf", Schema: numberMessage(t)}}
}

func jsonCodec() raw { return raw{codec.Bytes(), codec.Format{ContentType: "application/json"}} }

func TestJSONRecordIngestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		if err := produce(t, sinkOf(srv)).Send(t.Context(), row{0}); err != nil {
			t.Fatal(err)
		}
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1"}) || !slices.Equal(values(srv), numbered(1)) || !srv.Rows(table)[0].JSON {
			t.Errorf("%q: %+v", got, srv.Rows(table))
		}
	})
}

func TestJSONBatchIngestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		if err := produce(t, sinkOf(srv)).Send(t.Context(), row{0}, row{1}, row{2}); err != nil {
			t.Fatal(err)
		}
		if got := requests(srv); !slices.Equal(got, []string{"0/0:3"}) || !slices.Equal(values(srv), numbered(3)) {
			t.Errorf("%q: %q", got, values(srv))
		}
	})
}

// The codec decides the type of a stream, so a program cannot mix up the two types as with the vendor's API. But a codec may
// give wrong bytes. Then only the record with the wrong bytes fails.
func mixUp(t *testing.T, c raw, good, bad []byte, records int, inProcess bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := zerobustest.New(t, zerobustest.InMemory(), zerobustest.Table(table, zerobustest.Column{Name: "n", Type: "INT"}))
		p, err := producer.New(t.Context(), sinkOf(srv), c)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		vs := [][]byte{bad}
		for len(vs) < records {
			vs = append([][]byte{good}, vs...)
		}
		if err := p.Send(t.Context(), vs...); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%v, want ErrRejected", err)
		}
		if n := srv.Stats().Requests; inProcess != (n == 0) {
			t.Errorf("%d requests", n)
		}
		if err := p.Send(t.Context(), good); err != nil {
			t.Errorf("the record after it: %v", err)
		}
		want := records // the good ones of the batch and the one after it
		if inProcess {
			want = 1 // a Send is refused before any of its values is accepted
		}
		if n := len(srv.Rows(table)); n != want {
			t.Errorf("%d rows, want %d", n, want)
		}
	})
}

func TestIngestJSONIntoProtoStreamFails(t *testing.T) {
	mixUp(t, protoCodec(t), []byte("\x08\x01"), []byte(`{"n":1}`), 1, false)
}

func TestIngestJSONBatchIntoProtoStreamFails(t *testing.T) {
	mixUp(t, protoCodec(t), []byte("\x08\x01"), []byte(`{"n":1}`), 3, false)
}

func TestIngestProtoIntoJSONStreamFails(t *testing.T) {
	t.Run("that is text", func(t *testing.T) { mixUp(t, jsonCodec(), []byte(`{"n":1}`), []byte("\x08\x01"), 1, true) })
	t.Run("that is no text", func(t *testing.T) { mixUp(t, jsonCodec(), []byte(`{"n":1}`), []byte("\x08\xff\x01"), 1, true) })
}

func TestIngestProtoBatchIntoJSONStreamFails(t *testing.T) {
	t.Run("that is text", func(t *testing.T) { mixUp(t, jsonCodec(), []byte(`{"n":1}`), []byte("\x08\x01"), 3, true) })
	t.Run("that is no text", func(t *testing.T) { mixUp(t, jsonCodec(), []byte(`{"n":1}`), []byte("\x08\xff\x01"), 3, true) })
}

func TestProtoStreamCreationWithoutDescriptorFails(t *testing.T) {
	srv := serve(t)
	_, err := clientOf(config(srv)).Table(table).NewAppender(backend.Format{ContentType: "application/x-protobuf"}).Open(limited(t))
	if wantIs(t, err, backend.ErrRejected); !strings.Contains(err.Error(), "DescriptorProto") {
		t.Error(err)
	}
	if s := srv.Stats(); s.Connections+s.TokenRequests != 0 {
		t.Errorf("%+v: it was asked all the same", s)
	}
	s, err := clientOf(config(srv)).Table(table).NewAppender(backend.Format{ContentType: "application/x-protobuf", Schema: []byte{}}).Open(limited(t))
	if err != nil {
		t.Fatalf("an empty descriptor is one: %v", err)
	}
	_ = s.Close()
}

// The vendor's clients log a warning. Here any codec may have a schema, so there is no warning. TestRequestsHaveTheGoldenBytes
// shows that a JSON stream does not send the descriptor.
func TestJSONStreamCreationWithDescriptorWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jsonCodec()
		c.format.Schema = numberMessage(t)
		srv := quiet(t)
		p, err := producer.New(t.Context(), sinkOf(srv), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), []byte(`{}`)); err != nil {
			t.Error(err)
		}
		_ = p.Close()
	})
}

func TestEmptyPayloadsAreRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p, err := producer.New(t.Context(), sinkOf(srv), protoCodec(t))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := p.Send(t.Context(), []byte{}); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), []byte{}, []byte("\x08\x01"), nil); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%q", values(srv)); got != `["" "" "\b\x01" ""]` {
			t.Error(got)
		}
	})
}
