package boltlog

import (
	"errors"
	"io"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/headrace/headrace/backend"
)

// call is what a client asks of a stream.
type call struct {
	kind  callKind
	value string // of an append: valueLen bytes that no other append has
	from  int    // of a read and a trim: a seq, or earliest
}

type callKind string

const (
	callAppend callKind = "append"
	callRead   callKind = "read"
	callTrim   callKind = "trim"
	callClose  callKind = "close"
	callDelete callKind = "delete"
)

const (
	valueLen = 4
	earliest = -1
)

// answer is what became of a call.
type answer struct {
	verdict  verdict
	seq      int    // of an append that is stored
	values   string // of a read, all in one
	caughtUp bool   // of a read
}

type verdict string

const (
	done       verdict = "done"
	refused    verdict = "nothing done" // for a reason that is no fact about the stream, such as a full disk
	unknown    verdict = "unknown"      // done, or not, or done later
	closed     verdict = "closed"
	notFound   verdict = "not found"
	outOfRange verdict = "out of range"
)

func verdictOf(err error) verdict {
	switch {
	case err == nil:
		return done
	case errors.Is(err, backend.ErrIndeterminate):
		return unknown
	case errors.Is(err, backend.ErrStreamClosed), errors.Is(err, io.EOF):
		return closed
	case errors.Is(err, backend.ErrNotFound):
		return notFound
	case errors.Is(err, backend.ErrOutOfRange):
		return outOfRange
	}
	return refused
}

// facts is the whole truth about a stream at one moment.
type facts struct {
	exists, closed bool
	deletions      int
	head           int
	values         string // of the records from head on
}

func (f facts) tail() int { return f.head + len(f.values)/valueLen }

// below says how many of the bytes of values lie before a seq between head and tail.
func (f facts) below(seq int) int { return (seq - f.head) * valueLen }

// outcomes returns what f may become when c gets the answer a: none when it cannot get that answer.
func (f facts) outcomes(c call, a answer) []any {
	after, verdict, ok := f.after(c, a)
	switch {
	case a.verdict == unknown:
		return []any{f, after}
	case a.verdict == notFound && f.deletions > 0: // it was asked of the stream before
		return []any{f}
	case ok && a.verdict == verdict:
		return []any{after}
	}
	return nil
}

// after returns what c makes of f, what it is told, and whether the rest of the answer is right.
func (f facts) after(c call, a answer) (facts, verdict, bool) {
	before := f
	switch c.kind {
	case callAppend:
		if f.closed {
			return before, closed, true
		}
		f.exists, f.values = true, f.values+c.value
		return f, done, a.seq == before.tail()
	case callRead:
		from := c.from
		if from == earliest {
			from = f.head
		}
		if from < f.head || from > f.tail() {
			return before, outOfRange, true
		}
		rest := f.values[f.below(from):]
		return before, done, a.caughtUp == (a.values == rest) && strings.HasPrefix(rest, a.values) && (rest == "") == (a.values == "")
	case callTrim:
		if c.from > f.tail() {
			return before, outOfRange, true
		}
		if c.from > f.head {
			f.head, f.values = c.from, f.values[f.below(c.from):]
		}
		return f, done, true
	case callClose:
		f.exists, f.closed = true, true
		return f, done, true
	default: // callDelete
		if !f.exists {
			return before, notFound, true
		}
		return facts{deletions: f.deletions + 1}, done, true
	}
}

// model is how every stream behaves, one call after the other.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{facts{}} },
		Step: func(state, input, output any) []any { return state.(facts).outcomes(input.(call), output.(answer)) },
	}
	return m.ToModel()
}
