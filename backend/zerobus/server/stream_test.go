package server_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

func TestGoldenBytes(t *testing.T) {
	for _, tls := range []bool{false, true} {
		opts := []zerobustest.Option{zerobustest.Table(tbl)}
		if tls {
			opts = append(opts, zerobustest.TLS())
		}
		srv := zerobustest.New(t, opts...)
		c := authorized(t, srv, dial(t, srv), tbl)
		c.send(unhex(t, goldenCreateJSON))
		if id := c.opened(); id == "" {
			t.Fatal("no stream id")
		}
		c.send(unhex(t, goldenRecordJSON), unhex(t, goldenBatchJSON))
		c.want(goldenAck0, "12020801")
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		c.wantCode(codes.OK, "")
		rows := srv.Rows(tbl)
		if len(rows) != 3 {
			t.Fatalf("%d rows, want 3", len(rows))
		}
		for i, want := range []zerobustest.Row{{Value: []byte(`{"a":1}`)}, {Value: []byte(`{"a":2}`), Offset: 1}, {Value: []byte(`{"a":3}`), Offset: 1, Index: 1}} {
			if r := rows[i]; !bytes.Equal(r.Value, want.Value) || r.Offset != want.Offset || r.Index != want.Index || !r.JSON {
				t.Errorf("row %d is %+v, want %+v", i, r, want)
			}
		}
		if st := srv.Stats(); st.Streams != 1 || st.Requests != 2 || st.Records != 3 || st.Acks != 2 || st.MaxOffset != 1 || st.Tokens != 1 || st.Connections != 1 {
			t.Errorf("stats %+v", st)
		}
	}
}

func TestFirstMessageRules(t *testing.T) {
	proto := []byte("\x0a\x04Test")
	for name, c := range map[string]struct {
		table  string // in the header; "": that of the create
		first  []byte
		code   codes.Code
		phrase string
	}{
		"a record first":          {tbl, unhex(t, goldenRecordJSON), codes.InvalidArgument, "first message"},
		"an empty message":        {tbl, nil, codes.InvalidArgument, "first message"},
		"garbage":                 {tbl, []byte{0x0a, 0xff}, codes.InvalidArgument, "malformed"},
		"another table in header": {"a.b.c", unhex(t, goldenCreateJSON), codes.PermissionDenied, "not for this table"},
		"no such table":           {"a.b.c", createJSON("a.b.c"), codes.NotFound, "a.b.c"},
		"two parts":               {tbl, createJSON("a.b"), codes.PermissionDenied, ""},
		"record type 0":           {tbl, []byte("\x0a\x0f\x0a\x0bcat.sch.tbl\x20\x00"), codes.InvalidArgument, "not specified"},
		"record type absent":      {tbl, []byte("\x0a\x0d\x0a\x0bcat.sch.tbl"), codes.InvalidArgument, "not specified"},
		"record type 3":           {tbl, []byte("\x0a\x0f\x0a\x0bcat.sch.tbl\x20\x03"), codes.InvalidArgument, "not supported"},
		"proto, no descriptor":    {tbl, []byte("\x0a\x0f\x0a\x0bcat.sch.tbl\x20\x01"), codes.InvalidArgument, "descriptor_proto"},
		"proto, bad descriptor":   {tbl, createProto(tbl, []byte{0xff}), codes.InvalidArgument, "not a DescriptorProto"},
		"proto":                   {tbl, createProto(tbl, proto), codes.OK, ""},
		"proto, empty descriptor": {tbl, createProto(tbl, nil), codes.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl))
			s := authorized(t, srv, dial(t, srv), c.table)
			s.send(c.first)
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			s.wantCode(c.code, c.phrase)
		})
	}
}

func TestRequestRules(t *testing.T) {
	big := `{"b":"` + strings.Repeat("x", 1<<20-8) + `"}`
	last := `{"b":"` + strings.Repeat("x", 1<<20-64-8) + `"}`
	for name, c := range map[string]struct {
		sent   [][]byte
		code   codes.Code
		phrase string
		rows   int
	}{
		"in order":          {[][]byte{ingest(jsonRecord, 0, `{"n":1}`), ingest(jsonRecord, 1, `{"n":2}`, `{"n":3}`)}, codes.OK, "", 3},
		"starts at 1":       {[][]byte{ingest(jsonRecord, 1, `{"n":1}`)}, codes.OutOfRange, "offset 1, want 0", 0},
		"gap":               {[][]byte{ingest(jsonRecord, 0, `{"n":1}`), ingest(jsonRecord, 2, `{"n":2}`)}, codes.OutOfRange, "offset 2, want 1", 1},
		"twice":             {[][]byte{ingest(jsonRecord, 0, `{"n":1}`), ingest(jsonRecord, 0, `{"n":1}`)}, codes.OutOfRange, "offset 0, want 1", 1},
		"no offset":         {[][]byte{[]byte("\x12\x03\x1a\x011")}, codes.OutOfRange, "", 0},
		"wrong kind":        {[][]byte{ingest(protoRecord, 0, "1")}, codes.InvalidArgument, "a PROTO record on a JSON stream", 0},
		"no record":         {[][]byte{[]byte("\x12\x02\x08\x00")}, codes.InvalidArgument, "neither", 0},
		"not UTF-8":         {[][]byte{ingest(jsonRecord, 0, `{"n":"ok"}`, "\xff")}, codes.InvalidArgument, "record 1", 0},
		"create again":      {[][]byte{createJSON(tbl)}, codes.InvalidArgument, "already", 0},
		"empty record":      {[][]byte{ingest(jsonRecord, 0, "")}, codes.InvalidArgument, "not a JSON object", 0},
		"at the limit":      {[][]byte{ingest(jsonRecord, 0, big, big, big, big, big, big, big, big, big, last)}, codes.OK, "", 10},
		"beyond the limit":  {[][]byte{ingest(jsonRecord, 0, big, big, big, big, big, big, big, big, big, big)}, codes.InvalidArgument, "exceeds the limit", 0},
		"batch of nothing":  {[][]byte{response(3, []byte("\x08\x00\x1a\x00"))}, codes.OK, "", 0},
		"truncated message": {[][]byte{ingest(jsonRecord, 0, `{"n":"abc"}`)[:6]}, codes.InvalidArgument, "malformed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl))
			s := authorized(t, srv, dial(t, srv), tbl)
			s.send(createJSON(tbl))
			s.opened()
			s.send(c.sent...)
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			s.wantCode(c.code, c.phrase)
			if n := len(srv.Rows(tbl)); n != c.rows {
				t.Errorf("%d rows, want %d", n, c.rows)
			}
		})
	}
}

func TestAckPolicies(t *testing.T) {
	for name, c := range map[string]struct {
		policy zerobustest.AckPolicy
		want   []string
	}{
		"each":    {zerobustest.AckEach(), []string{"12020800", "12020801", "12020802"}},
		"every 2": {zerobustest.AckEvery(2, time.Hour), []string{"12020801", "12020802"}}, // the last at the end
		"every 9": {zerobustest.AckEvery(9, time.Hour), []string{"12020802"}},
		"never":   {zerobustest.AckNever(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Acks(c.policy))
			s := authorized(t, srv, dial(t, srv), tbl)
			s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"n":1}`), ingest(jsonRecord, 1, `{"n":2}`), ingest(jsonRecord, 2, `{"n":3}`))
			s.opened()
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			s.want(c.want...)
			s.wantCode(codes.OK, "")
		})
	}
	for name, policy := range map[string]zerobustest.AckPolicy{"by time": zerobustest.AckEvery(9, time.Millisecond), "delayed": zerobustest.AckAfter(time.Millisecond)} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Acks(policy))
			s := authorized(t, srv, dial(t, srv), tbl)
			s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"n":1}`))
			s.opened()
			s.want("12020800") // the stream is still open
		})
	}
}
