package server

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkMessage checks the values of a message whose descriptor fits the columns. An absent field is NULL. Only an ARRAY
// or a MAP is not NULL if it is absent, because protobuf leaves out empty lists and maps. Fields outside of the
// descriptor need no look: protoCheck has compared the descriptor, and protobuf keeps unknown fields apart.
func (s *fieldSet) checkMessage(path string, m protoreflect.Message) *schemaError {
	fields := m.Descriptor().Fields()
	for _, c := range s.list {
		f := fields.ByName(protoreflect.Name(c.name))
		if f == nil {
			continue // allowed, because protoCheck refuses a descriptor without a required column
		}
		if !m.Has(f) {
			if c.required && !f.IsList() && !f.IsMap() {
				return mismatch(missing, "column %q is required", path+c.name)
			}
			continue
		}
		if err := c.typ.checkProto(path+c.name, m.Get(f)); err != nil {
			return err
		}
	}
	return nil
}

// checkProto checks the value of a field.
func (t *deltaType) checkProto(path string, v protoreflect.Value) (refused *schemaError) {
	switch {
	case t.kind == "ARRAY" && t.elem != nil:
		list := v.List()
		for i := range list.Len() {
			if err := t.elem.checkSingle(fmt.Sprintf("%s[%d]", path, i), list.Get(i)); err != nil {
				return err
			}
		}
	case t.kind == "MAP" && t.elem != nil:
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			at := fmt.Sprintf("%s[%q]", path, k.String())
			if refused = t.key.checkSingle(at, k.Value()); refused == nil {
				refused = t.elem.checkSingle(at, v)
			}
			return refused == nil
		})
	case t.kind != "ARRAY" && t.kind != "MAP":
		return t.checkSingle(path, v)
	}
	return refused
}

// checkSingle checks one value. The types without a case here need no check: protobuf decoding has ensured that their
// values fit. TINYINT and SMALLINT travel as int32, so their range is checked here; DECIMAL and VARIANT travel as
// strings, so their text is.
func (t *deltaType) checkSingle(path string, v protoreflect.Value) *schemaError {
	fits := true
	switch t.kind {
	case "STRUCT":
		if t.fields == nil {
			return nil
		}
		return t.fields.checkMessage(path+".", v.Message())
	case "TINYINT":
		n := integer(v)
		fits = n >= math.MinInt8 && n <= math.MaxInt8
	case "SMALLINT":
		n := integer(v)
		fits = n >= math.MinInt16 && n <= math.MaxInt16
	case "STRING":
		fits = utf8.ValidString(v.String())
	case "DECIMAL":
		fits = t.decimalFits(v.String())
	case "VARIANT":
		fits = validJSON(jsontext.Value(v.String()))
	}
	if !fits {
		return t.misfit(path)
	}
	return nil
}

// integer returns the value of a field that is stored as INT. The field may be an enum.
func integer(v protoreflect.Value) int64 {
	if n, ok := v.Interface().(protoreflect.EnumNumber); ok {
		return int64(n)
	}
	return v.Int()
}
