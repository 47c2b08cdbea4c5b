package producer

import (
	"time"

	"github.com/headrace/headrace/backend"
)

// An entry is a record while its batch is being filled. Entries are small: every Enqueue writes an entry to memory that is not in
// the processor's cache, with the lock of the batch held. With entries of 104 bytes, the size of a backend.Record, a small record
// took about 12 ns more. The sender makes records of the entries when the batch is due (newRecords).
type entry struct {
	value []byte
	extra *extra // nil: neither headers nor a time
}

// An extra is what few records have.
type extra struct {
	headers backend.Headers
	time    time.Time
}

const (
	recordBytes = 104 // size of a backend.Record
	entryBytes  = 32  // size of an entry
	extraBytes  = 48  // size of an extra
	headerBytes = 40  // size of a backend.Header
)

// bufferedBytes is the number of bytes that a record counts against BufferBytes, beside its entry. The record itself takes the place
// of the entry when the batch is sent.
func bufferedBytes(value []byte, x *extra) int {
	n := recordBytes - entryBytes + len(value)
	if x != nil {
		n += extraBytes
		for i := range x.headers {
			n += headerBytes + len(x.headers[i].Name) + len(x.headers[i].Value)
		}
	}
	return n
}
