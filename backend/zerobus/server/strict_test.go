package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// fitting is what becomes of a row that fits; other rows have the cause of their refusal, or "" for one without a cause.
const fitting = "stored"

// A verdict is what the service says of a row. descriptor is in the text format; without one the row is JSON.
type verdict struct {
	typ        string // of column c; "" declares no columns
	notNull    bool
	descriptor string
	row        string
	want       string
}

const (
	int32Field  = `name:"R" field{name:"c" number:1 type:TYPE_INT32 label:LABEL_OPTIONAL}`
	stringField = `name:"R" field{name:"c" number:1 type:TYPE_STRING label:LABEL_OPTIONAL}`
	stringsList = `name:"R" field{name:"c" number:1 type:TYPE_STRING label:LABEL_REPEATED}`
	structField = `name:"R" field{name:"c" number:1 type:TYPE_MESSAGE type_name:".R.S" label:LABEL_OPTIONAL}
		nested_type{name:"S" field{name:"a" number:1 type:TYPE_INT32 label:LABEL_OPTIONAL} field{name:"b" number:2 type:TYPE_STRING label:LABEL_OPTIONAL}}`
	mapField = `name:"R" field{name:"c" number:1 type:TYPE_MESSAGE type_name:".R.CEntry" label:LABEL_REPEATED}
		nested_type{name:"CEntry" options{map_entry:true} field{name:"key" number:1 type:TYPE_STRING label:LABEL_OPTIONAL}
		field{name:"value" number:2 type:TYPE_INT32 label:LABEL_OPTIONAL}}`
)

var verdicts = map[string]verdict{
	"no columns, an object":         {row: ` {"c": [1, null]} `, want: fitting},
	"no columns, cut off":           {row: `{"c":1`},
	"no columns, two values":        {row: `{}{}`},
	"no columns, no object":         {row: `[1]`},
	"no columns, null":              {row: `null`},
	"no columns, empty":             {row: ``},
	"no columns, text":              {row: `no JSON`},
	"NOT NULL, there":               {typ: "INT", notNull: true, descriptor: int32Field, row: "\x08\x00", want: fitting},
	"NOT NULL, absent":              {typ: "INT", notNull: true, descriptor: int32Field, row: "", want: missing},
	"NOT NULL, an empty list":       {typ: "ARRAY<STRING>", notNull: true, descriptor: stringsList, row: "", want: fitting},
	"nullable, absent":              {typ: "INT", descriptor: int32Field, row: "", want: fitting},
	"TINYINT":                       {typ: "TINYINT", row: `{"c":-128}`, want: fitting},
	"TINYINT, beyond":               {typ: "TINYINT", row: `{"c":128}`, want: incompatible},
	"TINYINT, a fraction":           {typ: "BYTE", row: `{"c":1.5}`, want: incompatible},
	"TINYINT in PROTO":              {typ: "TINYINT", descriptor: int32Field, row: "\x08\x7f", want: fitting},
	"TINYINT in PROTO, beyond":      {typ: "TINYINT", descriptor: int32Field, row: "\x08\x80\x01", want: incompatible},
	"SMALLINT":                      {typ: "SMALLINT", row: `{"c":32767}`, want: fitting},
	"SMALLINT, beyond":              {typ: "SHORT", row: `{"c":-32769}`, want: incompatible},
	"SMALLINT in PROTO, beyond":     {typ: "SMALLINT", descriptor: int32Field, row: "\x08\x80\x80\x02", want: incompatible},
	"FLOAT, beyond":                 {typ: "FLOAT", row: `{"c":1e39}`, want: incompatible},
	"DOUBLE":                        {typ: "DOUBLE", row: `{"c":1e39}`, want: fitting},
	"DECIMAL":                       {typ: "DECIMAL(5,2)", row: `{"c":"-123.450"}`, want: fitting},
	"DECIMAL, a number":             {typ: "DECIMAL(5,2)", row: `{"c":123.45}`, want: incompatible},
	"DECIMAL, too large":            {typ: "DECIMAL(5,2)", row: `{"c":"1234"}`, want: incompatible},
	"DECIMAL, too exact":            {typ: "DECIMAL(5,2)", row: `{"c":"1.234"}`, want: incompatible},
	"DECIMAL, no number":            {typ: "DECIMAL(5,2)", row: `{"c":"1,5"}`, want: incompatible},
	"DECIMAL, a sign alone":         {typ: "DECIMAL(5,2)", row: `{"c":"-"}`, want: incompatible},
	"DECIMAL without parameters":    {typ: "DECIMAL", row: `{"c":"1.5"}`, want: incompatible},
	"DECIMAL in PROTO":              {typ: "DECIMAL(5,2)", descriptor: stringField, row: "\x0a\x041.50", want: fitting},
	"DECIMAL in PROTO, no number":   {typ: "DECIMAL(5,2)", descriptor: stringField, row: "\x0a\x01x", want: incompatible},
	"DECIMAL in PROTO, an int32":    {typ: "DECIMAL(5,2)", descriptor: int32Field, row: "", want: incompatible},
	"VARIANT":                       {typ: "VARIANT", row: `{"c":"{\"a\":[1]}"}`, want: fitting},
	"VARIANT, not a string":         {typ: "VARIANT", row: `{"c":{"a":1}}`, want: incompatible},
	"VARIANT, not JSON":             {typ: "VARIANT", row: `{"c":"{a:1}"}`, want: incompatible},
	"VARIANT in PROTO, not JSON":    {typ: "VARIANT", descriptor: stringField, row: "\x0a\x01x", want: incompatible},
	"STRING in PROTO, not UTF-8":    {typ: "STRING", descriptor: stringField, row: "\x0a\x01\xff", want: incompatible},
	"ARRAY":                         {typ: "ARRAY<INT>", row: `{"c":[1, null, 2]}`, want: fitting},
	"ARRAY, another element":        {typ: "ARRAY<INT>", row: `{"c":[1,"2"]}`, want: incompatible},
	"ARRAY, an object":              {typ: "ARRAY<INT>", row: `{"c":{}}`, want: incompatible},
	"ARRAY, elements not declared":  {typ: "ARRAY", row: `{"c":[1,"2"]}`, want: fitting},
	"ARRAY in PROTO":                {typ: "ARRAY<STRING>", descriptor: stringsList, row: "\x0a\x01a\x0a\x01b", want: fitting},
	"ARRAY in PROTO, another type":  {typ: "ARRAY<INT>", descriptor: stringsList, row: "", want: incompatible},
	"ARRAY in PROTO, one value":     {typ: "ARRAY<STRING>", descriptor: stringField, row: "", want: incompatible},
	"ARRAY in PROTO, an element":    {typ: "ARRAY<DECIMAL(2)>", descriptor: stringsList, row: "\x0a\x0212\x0a\x03123", want: incompatible},
	"one value in PROTO, an ARRAY":  {typ: "STRING", descriptor: stringsList, row: "", want: incompatible},
	"MAP":                           {typ: "MAP<STRING, ARRAY<INT>>", row: `{"c":{"a":[1],"b":null}}`, want: fitting},
	"MAP, another value":            {typ: "MAP<STRING, INT>", row: `{"c":{"a":"b"}}`, want: incompatible},
	"MAP, a number as key":          {typ: "MAP<INT, BOOLEAN>", row: `{"c":{"-7":true}}`, want: fitting},
	"MAP, another key":              {typ: "MAP<INT, BOOLEAN>", row: `{"c":{"x":true}}`, want: incompatible},
	"MAP, a list":                   {typ: "MAP<INT, BOOLEAN>", row: `{"c":[]}`, want: incompatible},
	"MAP in PROTO":                  {typ: "MAP<STRING, INT>", descriptor: mapField, row: "\x0a\x05\x0a\x01a\x10\x01", want: fitting},
	"MAP in PROTO, another type":    {typ: "MAP<STRING, STRING>", descriptor: mapField, row: "", want: incompatible},
	"MAP in PROTO, another key":     {typ: "MAP<BIGINT, INT>", descriptor: mapField, row: "", want: incompatible},
	"MAP in PROTO, a value beyond":  {typ: "MAP<STRING, TINYINT>", descriptor: mapField, row: "\x0a\x06\x0a\x01a\x10\x80\x01", want: incompatible},
	"STRUCT":                        {typ: "STRUCT<a: INT NOT NULL, b: STRING>", row: `{"c":{"a":1,"b":null}}`, want: fitting},
	"STRUCT, another field":         {typ: "STRUCT<a INT, b STRING>", row: `{"c":{"a":1,"x":2}}`, want: notInTable},
	"STRUCT, another value":         {typ: "STRUCT<a: INT, b: STRING>", row: `{"c":{"a":"1"}}`, want: incompatible},
	"STRUCT, a field absent":        {typ: "STRUCT<a: INT NOT NULL, b: STRING>", row: `{"c":{"b":"x"}}`, want: missing},
	"STRUCT, inside an ARRAY":       {typ: "ARRAY<STRUCT<a: INT>>", row: `{"c":[{"a":1},{"a":true}]}`, want: incompatible},
	"STRUCT, a string":              {typ: "STRUCT<a: INT>", row: `{"c":"a"}`, want: incompatible},
	"STRUCT in PROTO":               {typ: "STRUCT<a: INT, b: STRING>", descriptor: structField, row: "\x0a\x02\x08\x01", want: fitting},
	"STRUCT in PROTO, more fields":  {typ: "STRUCT<b: STRING, a: INT, d: INT>", descriptor: structField, row: "", want: outOfOrder},
	"STRUCT in PROTO, fewer fields": {typ: "STRUCT<a: INT>", descriptor: structField, row: "", want: countMismatch + "," + notInTable},
	"STRUCT in PROTO, other type":   {typ: "STRUCT<a: STRING, b: STRING>", descriptor: structField, row: "", want: incompatible},
	"STRUCT in PROTO, a NULL":       {typ: "STRUCT<a: INT NOT NULL, b: STRING>", descriptor: structField, row: "\x0a\x03\x12\x01x", want: missing},
	"STRUCT in PROTO, a value":      {typ: "STRUCT<a: TINYINT, b: STRING>", descriptor: structField, row: "\x0a\x03\x08\x80\x01", want: incompatible},
}

func TestWhatDoesNotFitItsColumnIsRefused(t *testing.T) {
	for name, v := range verdicts {
		t.Run(name, func(t *testing.T) {
			table := zerobustest.Table(tbl)
			if v.typ != "" {
				table = zerobustest.Table(tbl, zerobustest.Column{Name: "c", Type: v.typ, Required: v.notNull})
			}
			srv := zerobustest.New(t, table)
			s := authorized(t, srv, dial(t, srv), tbl)
			if v.descriptor == "" {
				s.send(createJSON(tbl), ingest(jsonRecord, 0, v.row))
			} else {
				s.send(createProto(tbl, serialized(t, v.descriptor)), ingest(protoRecord, 0, v.row))
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			rows := 0
			if v.want == fitting {
				s.wantCode(codes.OK, "")
				rows = 1
			} else if st := s.wantCode(codes.InvalidArgument, ""); causes(t, st) != v.want {
				t.Errorf("causes %q (%s), want %q", causes(t, st), st.Message(), v.want)
			}
			if n := len(srv.Rows(tbl)); n != rows {
				t.Errorf("%d rows, want %d", n, rows)
			}
		})
	}
}

func serialized(t *testing.T, text string) []byte {
	t.Helper()
	var d descriptorpb.DescriptorProto
	if err := prototext.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestATableOfATypeThatIsNoneIsNotStarted(t *testing.T) {
	for _, typ := range []string{
		"", "TEXT", "INT INT", "DECIMAL(", "DECIMAL(39)", "DECIMAL(5,6)", "DECIMAL(x)", "ARRAY<", "ARRAY<INT", "ARRAY<ARRAY<INT>>",
		"MAP<STRING>", "MAP<DOUBLE,INT>", "MAP<STRING,MAP<STRING,INT>>", "STRUCT<a>", "STRUCT<a:INT,a:INT>", "STRUCT<a:INT b:INT>",
	} {
		if srv, err := zerobustest.Start(zerobustest.Table(tbl, zerobustest.Column{Name: "c", Type: typ})); err == nil {
			_ = srv.Close()
			t.Errorf("a column of type %q is taken", typ)
		}
	}
}

func TestColumnsOfAMessageTakeIt(t *testing.T) {
	for text, want := range map[string]string{
		mapField:    "MAP<STRING, INT>",
		stringsList: "ARRAY<STRING>",
		structField: "STRUCT<a: INT, b: STRING>",
		`name:"R" field{name:"c" number:1 type:TYPE_MESSAGE type_name:".R" label:LABEL_REPEATED}`: "ARRAY<STRUCT>",
	} {
		d := serialized(t, text)
		columns, err := server.DescriptorColumns(d)
		if err != nil || len(columns) != 1 || columns[0].Type != want {
			t.Errorf("columns %v, %v, want type %s", columns, err, want)
			continue
		}
		s, err := server.NewFieldSet(columns)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.ProtoCheck(s, d); err != nil {
			t.Error(err)
		}
	}
}
