package zerobustest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A Column is one of a table. Type is the type in Delta: TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, STRING, BOOLEAN,
// BINARY, DATE, TIMESTAMP, TIMESTAMP_NTZ, VARIANT, ARRAY, MAP or STRUCT. The elements of the last three are not checked.
type Column struct {
	Name     string
	Type     string
	Required bool // NOT NULL
}

// Columns returns the columns of a table for a message: one for each field, required if the field is.
func Columns(md protoreflect.MessageDescriptor) []Column {
	var out []Column
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		out = append(out, Column{Name: string(f.Name()), Type: deltaType(f), Required: f.Cardinality() == protoreflect.Required})
	}
	return out
}

func deltaType(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "MAP"
	case f.IsList():
		return "ARRAY"
	}
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.EnumKind:
		return "INT"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "BIGINT"
	case protoreflect.FloatKind:
		return "FLOAT"
	case protoreflect.DoubleKind:
		return "DOUBLE"
	case protoreflect.BoolKind:
		return "BOOLEAN"
	case protoreflect.BytesKind:
		return "BINARY"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return "STRUCT"
	}
	return "STRING"
}

// stored is what kind of value a Delta type is kept as on the wire: several types share one.
func stored(delta string) string {
	switch t := strings.ToUpper(delta); t {
	case "TINYINT", "BYTE", "SMALLINT", "SHORT", "INT", "DATE":
		return "INT"
	case "BIGINT", "LONG", "TIMESTAMP", "TIMESTAMP_NTZ":
		return "BIGINT"
	case "VARIANT", "DECIMAL":
		return "STRING"
	default:
		return t
	}
}

// The causes of a schema rejection.
const (
	notInTable    = "FIELD_NOT_IN_TABLE"
	missing       = "MISSING_REQUIRED_COLUMN"
	outOfOrder    = "FIELD_OUT_OF_ORDER"
	incompatible  = "TYPE_INCOMPATIBLE"
	countMismatch = "FIELD_COUNT_MISMATCH"
)

// A schemaError is why a record or a descriptor does not fit the table.
type schemaError struct {
	causes []string
	text   string
}

func (e *schemaError) Error() string { return e.text }

func mismatch(cause, format string, args ...any) *schemaError {
	return &schemaError{causes: []string{cause}, text: fmt.Sprintf(format, args...)}
}

// rejected is the status of a schema rejection, with the detail that the service gives.
func (e *schemaError) rejected(prefix string) error {
	s, err := status.New(codes.InvalidArgument, prefix+e.text).WithDetails(&errdetails.ErrorInfo{
		Domain: "zerobus.databricks.com", Reason: "SCHEMA_VALIDATION_FAILED",
		Metadata: map[string]string{"causes": strings.Join(e.causes, ","), "error_code": "8001"},
	})
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return s.Err()
}

// refusal is the status for a record of a request that does not fit.
func refusal(index int, err error) error {
	prefix := fmt.Sprintf("record %d: ", index)
	var s *schemaError
	if errors.As(err, &s) {
		return s.rejected(prefix)
	}
	return status.Error(codes.InvalidArgument, prefix+err.Error())
}

// A schema is the columns of a table. A nil one takes everything that can be read.
type schema struct {
	columns []Column
	byName  map[string]Column
}

func newSchema(columns []Column) *schema {
	s := &schema{columns: columns, byName: map[string]Column{}}
	for _, c := range columns {
		s.byName[c.Name] = c
	}
	return s
}

// jsonCheck returns what checks the records of a JSON stream.
func (s *schema) jsonCheck() func([]byte) error {
	if s == nil {
		return nil
	}
	return func(rec []byte) error {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(rec, &object); err != nil {
			return fmt.Errorf("not a JSON object: %w", err)
		}
		if object == nil {
			return errors.New("not a JSON object: null")
		}
		for name, v := range object {
			c, ok := s.byName[name]
			if !ok {
				return mismatch(notInTable, "field %q is not in the table", name)
			}
			if string(v) == "null" {
				delete(object, name) // as if it were absent
			} else if !fits(stored(c.Type), v) {
				return mismatch(incompatible, "field %q does not fit column type %s", name, c.Type)
			}
		}
		for _, c := range s.columns {
			if _, ok := object[c.Name]; c.Required && !ok {
				return mismatch(missing, "column %q is required", c.Name)
			}
		}
		return nil
	}
}

// fits says whether a JSON value, which is valid and not null, goes into a column.
func fits(kind string, v []byte) bool {
	str, isString := "", v[0] == '"'
	if isString && json.Unmarshal(v, &str) != nil {
		return false
	}
	isNumber := v[0] == '-' || v[0] >= '0' && v[0] <= '9'
	switch kind {
	case "INT":
		n, err := strconv.ParseInt(string(v), 10, 32)
		return err == nil && n >= math.MinInt32
	case "BIGINT": // a string keeps what a float64 would round
		if isString {
			v = []byte(str)
		}
		_, err := strconv.ParseInt(string(v), 10, 64)
		return err == nil
	case "FLOAT", "DOUBLE":
		return isNumber
	case "BOOLEAN":
		return v[0] == 't' || v[0] == 'f'
	case "STRING":
		return isString
	case "BINARY":
		_, err := base64.StdEncoding.DecodeString(str)
		return isString && err == nil
	case "ARRAY":
		return v[0] == '['
	case "MAP", "STRUCT":
		return v[0] == '{'
	}
	return true
}
