package backend

import "time"

// A Record is what a stream holds: bytes, with headers where the store keeps them.
type Record struct {
	Value   []byte
	Headers Headers

	// Time is when the record happened or was stored. Zero on append: the store assigns it. A store that assigns its own
	// times ignores what is given, and its documentation says so.
	Time time.Time

	// Offset is where this record is, Next is where to resume after it. Both are set on reads and empty on append.
	// A reader cuts them from one string a batch where it can, so that a record costs no allocation.
	Offset Offset
	Next   Offset
}

// A Header is a name and a value that travel beside a record's bytes.
type Header struct {
	Name  string
	Value []byte
}

// Headers are the headers of a record in the order given. Names may repeat.
type Headers []Header

// Lookup returns the value of the first header with that name, compared byte by byte, and whether there is one.
func (h Headers) Lookup(name string) ([]byte, bool) {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value, true
		}
	}
	return nil, false
}
