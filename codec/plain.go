package codec

import (
	"encoding"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
)

// methods are the interfaces through which a type decodes itself.
var methods = []reflect.Type{
	reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

// plain reports whether only the engine writes into the memory of a value of type t. A method of t, or of a type that lies inside
// t, could make the value point into itself, for example with a slice of an inline buffer. Such a slice would still refer to the
// old memory after the value is copied. What a slice, a map or a pointer of t refers to is memory of its own, so its methods do
// not matter. The engine decodes a [time.Time] without its methods.
func plain(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true
	}
	for _, m := range methods {
		if reflect.PointerTo(t).Implements(m) {
			return false
		}
	}
	switch t.Kind() {
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}
