package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonCheck returns the function that checks the records of a JSON stream. A table without columns accepts every
// object.
func (s *fieldSet) jsonCheck() func([]byte) error {
	return func(rec []byte) error {
		if err := checkObject(rec); err != nil || s == nil {
			return err
		}
		// The nil of a *schemaError is not the nil of an error, so the result cannot be returned as it is.
		if err := s.checkJSON("", rec); err != nil {
			return err
		}
		return nil
	}
}

// checkObject refuses a record that is not a JSON object. The check is made for every record of every JSON stream, so
// the usual case makes no map and no copy.
func checkObject(rec []byte) error {
	v := jsontext.Value(rec)
	if validJSON(v) && v.Kind() == '{' {
		return nil
	}
	// The record is refused. Unmarshal is called only for its error, because the error says where the JSON is wrong.
	var object map[string]json.RawMessage
	if err := json.Unmarshal(rec, &object); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	return errors.New("not a JSON object")
}

// validJSON accepts a name that occurs twice in an object: JSON leaves the meaning open, and only the form is checked
// here.
func validJSON(v jsontext.Value) bool { return v.IsValid(jsontext.AllowDuplicateNames(true)) }

// checkJSON checks the members of an object. A null counts as a missing member, as it does at the service. Unknown
// members are refused, because the service does not drop data in silence.
func (s *fieldSet) checkJSON(path string, object []byte) *schemaError {
	members := map[string]json.RawMessage{}
	if json.Unmarshal(object, &members) != nil {
		return mismatch(incompatible, "field %q cannot be read", path)
	}
	for name, v := range members {
		at, ok := s.byName[name]
		if !ok {
			return mismatch(notInTable, "field %q is not in the table", path+name)
		}
		if string(v) == "null" {
			// An explicit null must not count as present below, where required columns are looked for.
			delete(members, name)
		} else if err := s.list[at].typ.checkJSON(path+name, v); err != nil {
			return err
		}
	}
	for _, f := range s.list {
		if _, ok := members[f.name]; f.required && !ok {
			return mismatch(missing, "column %q is required", path+f.name)
		}
	}
	return nil
}

// checkJSON checks a valid JSON value that is not null.
func (t *deltaType) checkJSON(path string, v []byte) *schemaError {
	switch kind := jsontext.Value(v).Kind(); t.kind {
	case "ARRAY":
		if kind != '[' {
			return t.misfit(path)
		}
		return t.checkJSONElements(path, v)
	case "MAP":
		if kind != '{' {
			return t.misfit(path)
		}
		return t.checkJSONEntries(path, v)
	case "STRUCT":
		if kind != '{' {
			return t.misfit(path)
		}
		if t.fields == nil {
			return nil
		}
		return t.fields.checkJSON(path+".", v)
	}
	// Every kind without a case above has an entry in jsonFits.
	if !jsonFits[t.kind](t, v) {
		return t.misfit(path)
	}
	return nil
}

// checkJSONElements checks an array. A null element fits every type.
func (t *deltaType) checkJSONElements(path string, v []byte) *schemaError {
	var elems []json.RawMessage
	if json.Unmarshal(v, &elems) != nil {
		return t.misfit(path)
	}
	if t.elem == nil {
		return nil
	}
	for i, v := range elems {
		if string(v) == "null" {
			continue
		}
		if err := t.elem.checkJSON(fmt.Sprintf("%s[%d]", path, i), v); err != nil {
			return err
		}
	}
	return nil
}

// checkJSONEntries checks a map. All keys of a JSON object are strings, so a key of another type is parsed from its
// text.
func (t *deltaType) checkJSONEntries(path string, v []byte) *schemaError {
	var entries map[string]json.RawMessage
	if json.Unmarshal(v, &entries) != nil {
		return t.misfit(path)
	}
	if t.elem == nil {
		return nil
	}
	for key, v := range entries {
		// A key of a JSON object cannot be null, and a key of a map of Delta cannot either.
		if t.key.kind != "STRING" && !jsonFits[t.key.kind](t.key, []byte(key)) {
			return mismatch(incompatible, "key %q of field %q does not fit column type %s", key, path, t.key.text)
		}
		if string(v) == "null" {
			continue
		}
		if err := t.elem.checkJSON(fmt.Sprintf("%s[%q]", path, key), v); err != nil {
			return err
		}
	}
	return nil
}

// jsonFits maps a column type to the function that reports whether a JSON value fits the type. A DATE is a number of
// days and a TIMESTAMP a number of microseconds since 1970, as the service takes them; text in the form of a date is
// refused. BINARY is base64, and VARIANT is a string that holds JSON.
var jsonFits = map[string]func(t *deltaType, v []byte) bool{
	"TINYINT":       jsonInteger(8),
	"SMALLINT":      jsonInteger(16),
	"INT":           jsonInteger(32),
	"DATE":          jsonInteger(32),
	"BIGINT":        jsonLong,
	"TIMESTAMP":     jsonLong,
	"TIMESTAMP_NTZ": jsonLong,
	"FLOAT":         jsonFloat(32),
	"DOUBLE":        jsonFloat(64),
	"BOOLEAN":       func(_ *deltaType, v []byte) bool { return string(v) == "true" || string(v) == "false" },
	"STRING":        jsonString(func(*deltaType, string) bool { return true }),
	"DECIMAL":       jsonString((*deltaType).decimalFits),
	"VARIANT":       jsonString(func(_ *deltaType, s string) bool { return validJSON(jsontext.Value(s)) }),
	"BINARY": jsonString(func(_ *deltaType, s string) bool {
		_, err := base64.StdEncoding.DecodeString(s)
		return err == nil
	}),
}

func jsonInteger(bits int) func(*deltaType, []byte) bool {
	return func(_ *deltaType, v []byte) bool {
		_, err := strconv.ParseInt(string(v), 10, bits)
		return err == nil
	}
}

// jsonLong accepts a number or a string of digits. A string keeps all digits of a large number, which a program that
// reads numbers as float64 would round.
func jsonLong(t *deltaType, v []byte) bool {
	whole := jsonInteger(64)
	return whole(t, v) || jsonString(func(_ *deltaType, s string) bool { return whole(t, []byte(s)) })(t, v)
}

func jsonFloat(bits int) func(*deltaType, []byte) bool {
	return func(_ *deltaType, v []byte) bool {
		_, err := strconv.ParseFloat(string(v), bits)
		return err == nil
	}
}

// jsonString accepts a JSON string if its text fits.
func jsonString(fits func(*deltaType, string) bool) func(*deltaType, []byte) bool {
	return func(t *deltaType, v []byte) bool {
		var s string
		return len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil && fits(t, s)
	}
}
