package backend

import "time"

// A Record is an element of a stream: bytes, with headers where the store keeps headers.
type Record struct {
	Value   []byte
	Headers Headers

	// Time is when the record happened or was stored. Zero on append: the store assigns the time. Some stores always
	// assign their own times and ignore the given time; their documentation mentions the fact.
	Time time.Time

	// Offset is the place of the record, Next is the place to resume after the record. Both are set on reads and empty on
	// append. Where possible, a reader cuts the offsets of a batch from a single string: then a record costs no
	// allocation.
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

// Lookup returns the value of the first header with the given name, compared byte by byte, and whether there is such a
// header.
func (h Headers) Lookup(name string) ([]byte, bool) {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value, true
		}
	}
	return nil, false
}
