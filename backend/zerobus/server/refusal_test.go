package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// A refusal names the table, the cause, and what the client must do.
func TestRefusalsNameTheTableTheCauseAndTheRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		sent [][]byte
		code codes.Code
		want []string // of the text, in this order
	}{
		"too large":         {[][]byte{make([]byte, 10<<20+1)}, codes.InvalidArgument, []string{"10485761 bytes", "smaller batches"}},
		"malformed":         {[][]byte{{0x0a, 0xff}}, codes.InvalidArgument, []string{"malformed", "EphemeralStreamRequest"}},
		"records first":     {[][]byte{ingest(jsonRecord, 0, "{}")}, codes.InvalidArgument, []string{"first message", "create_stream"}},
		"created twice":     {[][]byte{createJSON(tbl), createJSON(tbl)}, codes.InvalidArgument, []string{"already", "another stream"}},
		"two tables":        {[][]byte{createJSON("a.b.c")}, codes.InvalidArgument, []string{"this table", `"a.b.c"`, "in both"}},
		"no record type":    {[][]byte{[]byte("\x0a\x0d\x0a\x0bcat.sch.tbl")}, codes.InvalidArgument, []string{"record type", "PROTO or JSON"}},
		"unknown type":      {[][]byte{[]byte("\x0a\x0f\x0a\x0bcat.sch.tbl\x20\x03")}, codes.InvalidArgument, []string{"record type 3", "PROTO or JSON"}},
		"no descriptor":     {[][]byte{[]byte("\x0a\x0f\x0a\x0bcat.sch.tbl\x20\x01")}, codes.InvalidArgument, []string{"descriptor_proto", "send"}},
		"broken descriptor": {[][]byte{createProto(tbl, []byte{0xff})}, codes.InvalidArgument, []string{"not a DescriptorProto", "send"}},
		"no offset":         {[][]byte{createJSON(tbl), []byte("\x12\x04\x1a\x02{}")}, codes.OutOfRange, []string{"without a wire offset", "from 0"}},
		"gap":               {[][]byte{createJSON(tbl), ingest(jsonRecord, 1, "{}")}, codes.OutOfRange, []string{"offset 1, want 0", "without a gap"}},
		"other type":        {[][]byte{createJSON(tbl), ingest(protoRecord, 0, "1")}, codes.InvalidArgument, []string{"a PROTO record on a JSON stream", "open a stream"}},
		"not UTF-8":         {[][]byte{createJSON(tbl), ingest(jsonRecord, 0, "{}", "\xff")}, codes.InvalidArgument, []string{"record 1", "UTF-8"}},
		"no object":         {[][]byte{createJSON(tbl), ingest(jsonRecord, 0, "{}", "1")}, codes.InvalidArgument, []string{"record 1", "object"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Table("a.b.c"), zerobustest.AnyToken())
			s := authorized(t, srv, dial(t, srv), tbl)
			s.send(c.sent...)
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			wantText(t, s.wantCode(c.code, "").Message(), append([]string{`table "cat.sch.tbl": `}, c.want...))
		})
	}
}

func TestRefusedTokensNameTheTableAndTheRemedy(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Table("a.b.c"))
	for name, c := range map[string]struct {
		header string
		code   codes.Code
		want   []string
	}{
		"none":        {"Basic x", codes.Unauthenticated, []string{"no bearer token", "authorization: Bearer"}},
		"made up":     {"Bearer MADEUPTOKEN", codes.Unauthenticated, []string{"invalid token", "new token"}},
		"other table": {"Bearer " + token(t, srv, "a.b.c"), codes.PermissionDenied, []string{"not for this table", "privileges"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStream(t, dial(t, srv), "authorization", c.header, "x-databricks-zerobus-table-name", tbl)
			s.send(createJSON(tbl))
			text := s.wantCode(c.code, "").Message()
			wantText(t, text, append([]string{`table "cat.sch.tbl": `}, c.want...))
			if _, secret, _ := strings.Cut(c.header, " "); secret != "x" && strings.Contains(text, secret) {
				t.Errorf("%q has the token", text)
			}
		})
	}
}

// wantText says that text has the parts, one behind the other.
func wantText(t *testing.T, text string, parts []string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			t.Fatalf("%q does not have %q in order", text, parts)
		}
		rest = after
	}
}
