package backendtest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Harness tells [Run] how to reach a backend and what its store keeps. What is not claimed is checked not to half work:
// a store that is not said to keep headers must refuse records that have some.
type Harness struct {
	// Open makes an empty stream of its own, once or more often in each subtest; cleaning up is t.Cleanup's.
	Open func(t testing.TB) Target

	// Bubble: all of it runs in this process and blocks on nothing but channels, locks and timers, so each subtest may
	// run in a synctest bubble: waiting costs no time and is exact, and a goroutine left behind is found.
	Bubble bool

	// Format is what the Appenders are made with. The zero Format stands for application/octet-stream.
	Format backend.Format

	// OtherFormat is refused by the opening of an Appender on a stream that was written with Format. The zero Format
	// leaves that out.
	OtherFormat backend.Format

	// Value makes the i-th value of a test, distinct for each i, of about n bytes; Run tries several n to meet a limit.
	// Nil makes binary ones.
	Value func(i, n int) []byte

	// Headers: records keep their headers, in order, names repeated or not.
	Headers bool

	// Times is the precision to which a record keeps the Time it is given, such as time.Millisecond; 0: it does not.
	Times time.Duration

	// TimesAscend: a time that is before that of the record before it is raised to that.
	TimesAscend bool

	// Late: what a session had sent when it was closed may still reach the store afterwards, beside what the next session
	// sends. First copies stay in order, but a replay need not be contiguous, and one that finds the stream moving may
	// fail with ErrTransient and ErrIndeterminate together, to be tried again.
	Late bool

	// Offsets: every batch has its own ack, and OffsetOf is there.
	Offsets bool

	// Dedup: a resend under the same seq is acknowledged and not stored twice.
	Dedup bool

	// Torn: part of a batch may be stored when the append of it failed.
	Torn bool

	// Exclusive: a stream has one writer, and the newer Appender takes the place of the older.
	Exclusive bool

	// Last and AtTime: these starts work. They must open with [backend.ErrUnsupported] otherwise.
	Last, AtTime bool

	// Refuses names the special values that the store refuses, of "empty", "binary", "array" (a JSON array), "object" (a
	// JSON object), "lines" (line ends and NUL) and "huge" (4 MiB, or as much as a record may hold). All others must be
	// kept byte by byte.
	Refuses []string

	// Refused makes a record that the store refuses although Limits and its Size let it pass. Nil: one that is too large
	// takes its place, where there is such a limit.
	Refused func() backend.Record

	// Foreign are offsets of other backends, for OpenReader to refuse beside the ones that Run makes up.
	Foreign []backend.Offset

	// Beside says that other tests run at the same time: outside a bubble goroutines are not counted then.
	Beside bool

	// Patience is how long one call may take that should return. 0 is 30 s.
	Patience time.Duration

	// Seed repeats a random run: Run logs the seed that it used. 0 makes one.
	Seed uint64
}

// A Target is one stream and what can be done to it. Funcs that are nil leave out what needs them, with the reason.
type Target struct {
	Sink backend.Sink

	// Source is nil for a store that can only be written. The rules of reading are left out then, and Stored is required.
	Source backend.Source

	// Stored returns what is stored, in order. Nil reads it from Source.
	Stored func() ([]backend.Record, error)

	// Break drops the connections there are, without ending the store.
	Break func()

	// Finish closes the stream for good.
	Finish func() error

	// Trim drops the records before the place given, or at least makes them unreadable.
	Trim func(before backend.Offset) error

	// Restart ends the store and starts it again from what it has made durable. The Target returned is the same stream.
	Restart func(t testing.TB) Target

	// Missing is the address of a stream that does not exist. Nil parts are not tried.
	MissingSink   backend.Sink
	MissingSource backend.Source
}

func (h Harness) complete() Harness {
	if h.Format.ContentType == "" {
		h.Format.ContentType = "application/octet-stream"
	}
	if h.Patience == 0 {
		h.Patience = 30 * time.Second
	}
	if h.Value == nil {
		h.Value = func(i, n int) []byte {
			v := fmt.Appendf(nil, "%06d\x00\xff", i)
			return append(v, bytes.Repeat([]byte{byte(i), '\n', 0x80}, max(n-len(v)+2, 0)/3)...)[:max(n, len(v))]
		}
	}
	return h
}
