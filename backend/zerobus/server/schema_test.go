package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

func causes(t *testing.T, s *status.Status) string {
	t.Helper()
	for _, d := range s.Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok && i.Domain == "zerobus.databricks.com" && i.Reason == "SCHEMA_VALIDATION_FAILED" && i.Metadata["error_code"] == "8001" {
			return i.Metadata["causes"]
		}
	}
	return ""
}

func TestJSONRecordsAreCheckedAgainstTheColumns(t *testing.T) {
	columns := []zerobustest.Column{
		{"id", "BIGINT", true}, {"n", "INT", false}, {"f", "DOUBLE", false}, {"s", "STRING", false}, {"b", "BOOLEAN", false},
		{"raw", "BINARY", false}, {"day", "DATE", false}, {"list", "ARRAY", false}, {"map", "MAP", false}, {"any", "VARIANT", false},
	}
	for rec, want := range map[string]string{
		`{"id":1,"n":-5,"f":1.5e3,"s":"x","b":true,"raw":"AAE=","day":20000,"list":[1],"map":{"a":1},"any":"{}"}`: "stored",
		`{"id":"9223372036854775807","n":null}`: "stored",
		`{"n":1}`:                               missing,
		`{"id":null}`:                           missing,
		`{"id":1,"x":1}`:                        notInTable,
		`{"id":1.5}`:                            incompatible,
		`{"id":1,"n":3000000000}`:               incompatible,
		`{"id":1,"n":"1"}`:                      incompatible,
		`{"id":1,"s":1}`:                        incompatible,
		`{"id":1,"b":1}`:                        incompatible,
		`{"id":1,"f":"1"}`:                      incompatible,
		`{"id":1,"raw":"!"}`:                    incompatible,
		`{"id":1,"list":{}}`:                    incompatible,
		`{"id":1,"map":[]}`:                     incompatible,
		`{"id":1,"day":"today"}`:                incompatible,
		`[1]`:                                   "",
		`null`:                                  "",
		`{"id":1`:                               "",
		``:                                      "",
	} {
		srv := zerobustest.New(t, zerobustest.Table(tbl, columns...))
		s := authorized(t, srv, dial(t, srv), tbl)
		s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"id":0}`), ingest(jsonRecord, 1, `{"id":1}`, rec))
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if want == "stored" {
			s.wantCode(codes.OK, "")
			continue
		}
		got := s.wantCode(codes.InvalidArgument, "record 1: ")
		if c := causes(t, got); c != want {
			t.Errorf("%s: causes %q (%s), want %q", rec, c, got.Message(), want)
		}
		if n := len(srv.Rows(tbl)); n != 1 {
			t.Errorf("%s: %d rows, want the one before the batch", rec, n)
		}
	}
}

func TestProtoDescriptorsAreCheckedAgainstTheColumns(t *testing.T) {
	duration := protodesc.ToDescriptorProto((&durationpb.Duration{}).ProtoReflect().Descriptor())
	for name, c := range map[string]struct {
		columns []zerobustest.Column
		want    string
	}{
		"same":             {zerobustest.Columns((&durationpb.Duration{}).ProtoReflect().Descriptor()), "stored"},
		"one more":         {[]zerobustest.Column{{"seconds", "BIGINT", false}, {"nanos", "INT", false}, {"extra", "STRING", false}}, "stored"},
		"one more needed":  {[]zerobustest.Column{{"seconds", "BIGINT", true}, {"nanos", "INT", false}, {"extra", "STRING", true}}, missing},
		"other order":      {[]zerobustest.Column{{"nanos", "INT", false}, {"seconds", "BIGINT", false}}, outOfOrder},
		"other type":       {[]zerobustest.Column{{"seconds", "STRING", false}, {"nanos", "INT", false}}, incompatible},
		"same on the wire": {[]zerobustest.Column{{"seconds", "TIMESTAMP", false}, {"nanos", "DATE", false}}, "stored"},
		"one less":         {[]zerobustest.Column{{"seconds", "BIGINT", false}}, countMismatch + "," + notInTable},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl, c.columns...))
			s := authorized(t, srv, dial(t, srv), tbl)
			d, err := proto.Marshal(duration)
			if err != nil {
				t.Fatal(err)
			}
			s.send(createProto(tbl, d), ingest(protoRecord, 0, "\x08\x01"), ingest(protoRecord, 1, "", "\x10\x02"))
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if c.want == "stored" {
				s.wantCode(codes.OK, "")
				if n := len(srv.Rows(tbl)); n != 3 {
					t.Errorf("%d rows", n)
				}
				return
			}
			if got := causes(t, s.wantCode(codes.InvalidArgument, "")); got != c.want {
				t.Errorf("causes %q, want %q", got, c.want)
			}
		})
	}
}

func TestProtoRecordsAreReadWithTheStreamsDescriptor(t *testing.T) {
	required := &descriptorpb.DescriptorProto{Name: proto.String("R"), Field: []*descriptorpb.FieldDescriptorProto{{
		Name: proto.String("id"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum(),
	}}}
	d, err := proto.Marshal(required)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := server.DescriptorColumns(d)
	if err != nil || len(columns) != 1 || columns[0] != (zerobustest.Column{"id", "BIGINT", true}) {
		t.Fatalf("columns %v, %v", columns, err)
	}
	for _, bad := range []string{"", "\x08", "\x0a\xff"} {
		srv := zerobustest.New(t, zerobustest.Table(tbl, columns...))
		s := authorized(t, srv, dial(t, srv), tbl)
		s.send(createProto(tbl, d), ingest(protoRecord, 0, "\x08\x01", bad))
		s.wantCode(codes.InvalidArgument, "record 1: ")
		if n := len(srv.Rows(tbl)); n != 0 {
			t.Errorf("%q: %d rows: a batch is stored whole or not at all", bad, n)
		}
	}
}

// A message of proto3 in a package, with types nested in it, a map and an optional field.
func TestDescriptorsOfRealMessages(t *testing.T) {
	cols := func(m proto.Message) ([]zerobustest.Column, error) {
		d, err := proto.Marshal(protodesc.ToDescriptorProto(m.ProtoReflect().Descriptor()))
		if err != nil {
			t.Fatal(err)
		}
		return server.DescriptorColumns(d)
	}
	got, err := cols(&descriptorpb.DescriptorProto_ExtensionRange{})
	if err == nil { // its options are a type that stands outside
		t.Errorf("columns %v of a message that does not stand alone", got)
	}
	if _, err := cols(&structpb.Struct{}); err == nil { // Value stands outside as well
		t.Error("a message whose map has values of another is taken as one that stands alone")
	}
	if got, err = cols(&errdetails.ErrorInfo{}); err != nil || len(got) != 3 || got[2].Type != "MAP<STRING, STRING>" {
		t.Errorf("columns %v, %v", got, err)
	}
	if got, err = cols(&errdetails.QuotaFailure{}); err != nil || len(got) != 1 || !strings.HasPrefix(got[0].Type, "ARRAY<STRUCT<") {
		t.Errorf("columns %v, %v", got, err)
	}
	if got, err = cols(&errdetails.QuotaFailure_Violation{}); err != nil || len(got) != 8 {
		t.Errorf("columns %v, %v", got, err)
	}
}

func TestRowLogAndDuplicates(t *testing.T) {
	var log bytes.Buffer
	srv := zerobustest.New(t, zerobustest.CreateTables(), zerobustest.RowLog(&log), zerobustest.DiscardRows(), zerobustest.CountDuplicates())
	conn := dial(t, srv)
	s := authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"a": 1}`), ingest(jsonRecord, 1, `{"b":""}`, `{"a": 1}`))
	s.opened()
	s.want("12020800", "12020801")
	p := authorized(t, srv, conn, "a.b.c")
	p.send(createProto("a.b.c", nil), ingest(protoRecord, 0, "\x00"))
	p.opened()
	p.want("12020800")
	var got []string
	for line := range strings.Lines(log.String()) {
		var row struct{ Stream string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Stream == "" {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, strings.Replace(strings.TrimSpace(line), row.Stream, "S", 1))
	}
	want := []string{
		`{"table":"cat.sch.tbl","stream":"S","offset":0,"index":0,"json":{"a":1}}`,
		`{"table":"cat.sch.tbl","stream":"S","offset":1,"index":0,"json":{"b":""}}`,
		`{"table":"cat.sch.tbl","stream":"S","offset":1,"index":1,"json":{"a":1}}`,
		`{"table":"a.b.c","stream":"S","offset":0,"index":0,"proto":"AA=="}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("row log\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := srv.Stats().Duplicates; n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
	if srv.Rows(tbl) != nil {
		t.Error("rows are kept")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// A lockedBuffer is a log that the goroutines of a server write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWhatCannotBeLoggedIsNotAcknowledged(t *testing.T) {
	var log lockedBuffer
	logTo := func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.RowLog(fullDisk{}), logTo)
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl), ingest(jsonRecord, 0, "{}"))
	s.opened()
	if text := s.wantCode(codes.Internal, "the row log failed").Message(); strings.Contains(text, "disk full") {
		t.Errorf("the client gets the cause, which may name files: %s", text)
	}
	for _, want := range []string{"level=ERROR", "method=EphemeralStream", "table=" + tbl, "offset=0", `error="disk full"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s: %s", want, log.String())
		}
	}
	if n := len(srv.Rows(tbl)); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestTheTapSeesRowsBeforeTheyAreAcknowledged(t *testing.T) {
	var seen []string // by one stream only
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Tap(func(table string, rows []zerobustest.Row) {
		for _, r := range rows {
			seen = append(seen, fmt.Sprintf("%s %s %d/%d", table, r.Value, r.Offset, r.Index))
		}
	}))
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"n":1}`, `{"n":2}`), ingest(jsonRecord, 1, `{"n":3}`))
	s.opened()
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.wantCode(codes.OK, "")
	if got, want := strings.Join(seen, ", "), `cat.sch.tbl {"n":1} 0/0, cat.sch.tbl {"n":2} 0/1, cat.sch.tbl {"n":3} 1/0`; got != want {
		t.Errorf("saw %s, want %s", got, want)
	}
}

// Nothing that a client sends may do more than be refused.
func FuzzSchema(f *testing.F) {
	for _, m := range []proto.Message{&durationpb.Duration{}, &errdetails.ErrorInfo{}, &errdetails.QuotaFailure{}, &structpb.Value{}} {
		d, err := proto.Marshal(protodesc.ToDescriptorProto(m.ProtoReflect().Descriptor()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(d, []byte("\x08\x01"))
	}
	f.Add([]byte(nil), []byte(`{"seconds":1}`))
	s, err := server.NewFieldSet(zerobustest.Columns((&durationpb.Duration{}).ProtoReflect().Descriptor()))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, descriptor, rec []byte) {
		columns, err := server.DescriptorColumns(descriptor)
		if err == nil && len(columns) > 0 { // the schema that it makes must take it
			own, err := server.NewFieldSet(columns)
			if err != nil {
				t.Fatalf("%x: %v", descriptor, err)
			}
			check, err := server.ProtoCheck(own, descriptor)
			if err != nil {
				t.Fatalf("%x: %v", descriptor, err)
			}
			_ = check(rec)
		}
		if check, err := server.ProtoCheck(s, descriptor); err == nil {
			_ = check(rec)
		} else if status.Code(err) != codes.InvalidArgument {
			t.Fatalf("%x: %v", descriptor, err)
		}
		_ = server.JSONCheck(s)(rec)
		_, _ = server.ParseDetails(string(rec))
	})
}
