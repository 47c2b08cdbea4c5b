package backendtest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Harness tells [Run] how to reach a backend and what its store keeps. When a capability is not claimed, Run checks that the
// capability does not half work: for example, a store without Headers must refuse records with headers.
type Harness struct {
	// Open makes a new, empty stream. Each subtest calls Open once or more often. Open registers t.Cleanup to clean up.
	Open func(t testing.TB) Target

	// Bubble says that the whole store runs in this process and blocks on channels, locks and timers only. Then each subtest
	// runs in a synctest bubble: waiting costs no time and is exact, and a goroutine left behind is found.
	Bubble bool

	// Format is the format of the Appenders. The zero Format stands for application/octet-stream.
	Format backend.Format

	// OtherFormat is a format that the stream must refuse: opening an Appender with OtherFormat fails on a stream that was
	// written with Format. With the zero Format the check is left out.
	OtherFormat backend.Format

	// Value makes the i-th value of a test. Values are distinct for each i and have about n bytes; Run tries several n to meet
	// a limit exactly. Nil makes binary values.
	Value func(i, n int) []byte

	// Headers says that records keep their headers, in order, with repeated names.
	Headers bool

	// Times is the precision with which a record keeps its Time, for example time.Millisecond. 0 means that a record does not
	// keep its Time.
	Times time.Duration

	// TimesAscend says that the store never lets times go back: a time before the time of the previous record is raised to the
	// time of the previous record.
	TimesAscend bool

	// Late says that batches which a closed session had sent may still reach the store afterwards, between the batches of the
	// next session. First copies stay in order, but a replay need not be contiguous. A replay that finds the stream moving may
	// fail with ErrTransient and ErrIndeterminate together, and is tried again.
	Late bool

	// Offsets says that every batch has its own ack, and that the ack has OffsetOf.
	Offsets bool

	// Dedup says that a resend under the same seq is acknowledged and not stored twice.
	Dedup bool

	// Torn says that a part of a batch may be stored when the append of the batch failed.
	Torn bool

	// Exclusive says that a stream has a single writer, and that a newer Appender takes the place of the older Appender.
	Exclusive bool

	// Last and AtTime say that these starts work. Otherwise opening at such a start must fail with [backend.ErrUnsupported].
	Last, AtTime bool

	// Hidden says that a [backend.Tailer] counts records which readers do not show.
	Hidden bool

	// Refuses names the special values that the store refuses: "empty", "binary", "array" (a JSON array), "object" (a JSON
	// object), "lines" (line ends and NUL) and "huge" (4 MiB, or as much as a record may hold). The store must keep every
	// other value byte by byte.
	Refuses []string

	// Refused makes a record that the store refuses although Limits and Limits.Size let the record pass. With nil, Run uses a
	// record that is too large, if the store has such a limit.
	Refused func() backend.Record

	// Foreign are offsets of other backends that OpenReader must refuse, in addition to the offsets that Run makes up.
	Foreign []backend.Offset

	// Beside says that other tests run at the same time. Then goroutines are not counted outside of a bubble.
	Beside bool

	// Patience is how long a call that should return may take. 0 stands for 2 minutes: with the race detector on a busy machine, the Read
	// of a record of some megabytes takes longer than 30 s.
	Patience time.Duration

	// Seed repeats a random run. Run logs the seed. 0 stands for a random seed.
	Seed uint64
}

// A Target is a stream and the operations on the stream. A rule that needs a func which is nil is skipped with the reason.
type Target struct {
	Sink backend.Sink

	// Source is nil for a store that can only be written. Then the rules of reading are left out, and Stored is required.
	Source backend.Source

	// Stored returns the stored records, in order. With nil, Run reads the records from Source.
	Stored func() ([]backend.Record, error)

	// Break drops all connections at this moment. The store itself goes on.
	Break func()

	// Finish closes the stream for good.
	Finish func() error

	// Trim drops the records before the given place, or at least makes these records unreadable.
	Trim func(before backend.Offset) error

	// Restart ends the store and starts the store again from its durable data. The returned Target is the same stream.
	Restart func(t testing.TB) Target

	// MissingSink and MissingSource are the address of a stream that does not exist. Nil skips the rule.
	MissingSink   backend.Sink
	MissingSource backend.Source
}

// complete returns h with the defaults filled in.
func (h Harness) complete() Harness {
	if h.Format.ContentType == "" {
		h.Format.ContentType = "application/octet-stream"
	}
	if h.Patience == 0 {
		h.Patience = 2 * time.Minute
	}
	if h.Value == nil {
		h.Value = func(i, n int) []byte {
			v := fmt.Appendf(nil, "%06d\x00\xff", i)
			return append(v, bytes.Repeat([]byte{byte(i), '\n', 0x80}, max(n-len(v)+2, 0)/3)...)[:max(n, len(v))]
		}
	}
	return h
}
