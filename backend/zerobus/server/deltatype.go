package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A deltaType is the Delta type of a column, of an element or of a field.
//
// All three checks use deltaTypes: of a descriptor, of a protobuf record and of a JSON record. With rules of their own,
// the same row could fit in one form and not in the other.
type deltaType struct {
	text   string // as the table declares it, for errors
	kind   string // the main name of the type, without parameters
	digits int    // of a DECIMAL: number of all digits
	scale  int    // of a DECIMAL: digits behind the point
	key    *deltaType
	elem   *deltaType // of an ARRAY or a MAP; nil: any element is accepted
	fields *fieldSet  // of a STRUCT; nil: any field is accepted
}

// A field is a column of a table or a field of a STRUCT.
type field struct {
	name     string
	typ      *deltaType
	required bool
}

// A fieldSet holds the columns of a table or the fields of a STRUCT. A nil fieldSet accepts any field.
//
// The order of list is the order of the columns in the table, because the service refuses a descriptor with another
// order.
type fieldSet struct {
	list   []field
	byName map[string]int
}

func (s *fieldSet) add(f field) error {
	if f.name == "" {
		return errors.New("a field without a name")
	}
	if _, ok := s.byName[f.name]; ok {
		return fmt.Errorf("field %q is declared twice", f.name)
	}
	s.byName[f.name] = len(s.list)
	s.list = append(s.list, f)
	return nil
}

// newFieldSet reads the types of the columns of a table. A wrong type is an error at the start of the server. Otherwise
// the first record would show the mistake, and the error would look like a fault of the client.
func newFieldSet(columns []Column) (*fieldSet, error) {
	s := &fieldSet{byName: map[string]int{}}
	for _, c := range columns {
		t, err := parseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		if err := s.add(field{c.Name, t, c.Required}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// synonyms are the other names that SQL has for a type. Declarations are copied from many tools, and each tool has its
// own names.
var synonyms = map[string]string{
	"BYTE": "TINYINT", "SHORT": "SMALLINT", "INTEGER": "INT", "LONG": "BIGINT", "REAL": "FLOAT", "DEC": "DECIMAL", "NUMERIC": "DECIMAL",
}

var (
	integral = []string{"TINYINT", "SMALLINT", "INT", "BIGINT"}
	scalars  = append([]string{"FLOAT", "DOUBLE", "STRING", "BOOLEAN", "BINARY", "DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "VARIANT"}, integral...)
)

// parseType reads a type as SQL writes it. Unknown types are an error and not a column that takes everything: a typing
// mistake in a declaration would otherwise switch off the checks of the column.
func parseType(text string) (*deltaType, error) {
	p := typeParser{rest: text}
	t, err := p.parse()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("unexpected %q behind the type", p.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", text, err)
	}
	return t, nil
}

type typeParser struct{ rest string }

// word returns the next letters, digits and underscores, and "" if there are none.
func (p *typeParser) word() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	other := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	n := strings.IndexFunc(p.rest, other)
	if n < 0 {
		n = len(p.rest)
	}
	// Names and types in ASCII are enough: the service allows only letters, digits and underscores.
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

// sign consumes s and returns true, if s comes next.
func (p *typeParser) sign(s string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " "), s)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *typeParser) expect(s string) error {
	if p.sign(s) {
		return nil
	}
	return fmt.Errorf("%q is missing before %q", s, p.rest)
}

func (p *typeParser) parse() (*deltaType, error) {
	before := strings.TrimLeft(p.rest, " ")
	kind := strings.ToUpper(p.word())
	if long, ok := synonyms[kind]; ok {
		kind = long
	}
	t := &deltaType{kind: kind}
	var err error
	switch kind {
	case "DECIMAL":
		err = p.decimal(t)
	case "ARRAY":
		err = p.array(t)
	case "MAP":
		err = p.mapping(t)
	case "STRUCT":
		err = p.structure(t)
	default:
		if !slices.Contains(scalars, kind) {
			err = fmt.Errorf("%q is not a type of a column", kind)
		}
	}
	t.text = before[:len(before)-len(p.rest)]
	return t, err
}

// decimal reads the parameters of a DECIMAL. A DECIMAL without parameters has 10 digits, and none behind the point, as
// in SQL. Delta holds at most 38 digits in a DECIMAL.
func (p *typeParser) decimal(t *deltaType) (err error) {
	t.digits = 10
	if !p.sign("(") {
		return nil
	}
	if t.digits, err = strconv.Atoi(p.word()); err != nil {
		return err
	}
	if p.sign(",") {
		if t.scale, err = strconv.Atoi(p.word()); err != nil {
			return err
		}
	}
	if t.digits < 1 || t.digits > 38 || t.scale < 0 || t.scale > t.digits {
		return errors.New("a DECIMAL has 1 to 38 digits, and not more behind the point than in all")
	}
	return p.expect(")")
}

// array and mapping refuse the nestings for which protobuf has no form: a repeated field holds no repeated field, and a
// map no map. The service refuses the same tables.
func (p *typeParser) array(t *deltaType) (err error) {
	if !p.sign("<") {
		return nil
	}
	if t.elem, err = p.parse(); err != nil {
		return err
	}
	if t.elem.kind == "ARRAY" {
		return errors.New("the service refuses arrays of arrays")
	}
	return p.expect(">")
}

func (p *typeParser) mapping(t *deltaType) (err error) {
	if !p.sign("<") {
		return nil
	}
	if t.key, err = p.parse(); err != nil {
		return err
	}
	if k := t.key.kind; k != "STRING" && k != "BOOLEAN" && !slices.Contains(integral, k) {
		return errors.New("the service takes maps whose keys are integers, strings or booleans")
	}
	if err = p.expect(","); err != nil {
		return err
	}
	if t.elem, err = p.parse(); err != nil {
		return err
	}
	if t.elem.kind == "MAP" {
		return errors.New("the service takes no map of maps")
	}
	return p.expect(">")
}

// structure reads fields such as `a: INT NOT NULL, b: STRING`. SQL does not need the colon.
func (p *typeParser) structure(t *deltaType) error {
	if !p.sign("<") {
		return nil
	}
	t.fields = &fieldSet{byName: map[string]int{}}
	for first := true; !p.sign(">"); first = false {
		if !first {
			if err := p.expect(","); err != nil {
				return err
			}
		}
		f := field{name: p.word()}
		p.sign(":")
		var err error
		if f.typ, err = p.parse(); err != nil {
			return err
		}
		f.required = p.sign("NOT NULL")
		if err := t.fields.add(f); err != nil {
			return err
		}
	}
	return nil
}

// decimalFits reports whether text is a number that the DECIMAL can hold without rounding. Zeros in front, and zeros at
// the end of the fraction, do not count, because they change nothing in the value. The service takes a DECIMAL as text:
// a floating-point number could not hold its digits.
func (t *deltaType) decimalFits(text string) bool {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		text = text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return false
	}
	return len(strings.TrimLeft(whole, "0")) <= t.digits-t.scale && len(strings.TrimRight(fraction, "0")) <= t.scale
}

// misfit returns the error for a value that does not fit the type. The path names elements too, as in a.b[3], so that a
// client finds the value in a large row.
func (t *deltaType) misfit(path string) *schemaError {
	return mismatch(incompatible, "field %q does not fit column type %s", path, t.text)
}
