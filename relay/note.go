package relay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A note is the content of a relay's checkpoint: how far the relay has come, and which batches may be on their way.
type note struct {
	From    backend.Offset // place in the source where the first announced batch begins
	Seq     uint64         // number of the first announced batch
	Records uint64         // number of records in all batches before Seq
	Origin  string         // the target's mark, as Resume has returned it
	Counts  []int          // records of the source in each announced batch; empty if no batch is on its way
}

const notePrefix = "relay/1 "

// offset encodes the note as ASCII text, because every store accepts text. No source has such an offset. So a consumer
// fails if the consumer gets the key of a relay by mistake, and does not read from a wrong place.
func (n note) offset() backend.Offset {
	// The prefix has a version, by which a later program can recognize an older layout.
	b := []byte(notePrefix)
	b = append(strconv.AppendUint(b, n.Seq, 10), ' ')
	b = append(strconv.AppendUint(b, n.Records, 10), ' ')
	b = append(strconv.AppendQuoteToASCII(b, n.Origin), ' ')
	b = strconv.AppendQuoteToASCII(b, string(n.From))
	for _, count := range n.Counts {
		b = strconv.AppendInt(append(b, ' '), int64(count), 10)
	}
	return backend.Offset(b)
}

// Place returns the place in the source that the checkpoint of a relay holds: everything in front of the place is in the
// target. If o is not of a relay, ok is false. Place is for programs that show how far a relay is behind.
func Place(o backend.Offset) (from backend.Offset, ok bool) {
	n, err := parseNote(o)
	return n.From, err == nil
}

func parseNote(o backend.Offset) (n note, err error) {
	rest, ok := strings.CutPrefix(string(o), notePrefix)
	var origin, from string
	p := parser{rest: rest, ok: ok}
	n.Seq, n.Records = p.number(), p.number()
	origin, from = p.quoted(), p.quoted()
	// The counts come last, because their number varies.
	for p.ok && p.rest != "" {
		n.Counts = append(n.Counts, int(p.number()))
	}
	// A count of 0 cannot come from a relay: each batch has at least one record of the source. If we accepted a
	// damaged note, the relay would cut the announced batches at other places.
	if !p.ok || from == "" || slices.Contains(n.Counts, 0) {
		return note{}, fmt.Errorf("the checkpoint %.100q does not belong to a relay (to copy from another place, use another name): %w", o, backend.ErrConflict)
	}
	n.Origin, n.From = origin, backend.Offset(from)
	return n, nil
}

// A parser reads fields one behind another. After the first malformed field, ok is false.
type parser struct {
	rest string
	ok   bool
}

func (p *parser) number() uint64 {
	field, rest, _ := strings.Cut(p.rest, " ")
	n, err := strconv.ParseUint(field, 10, 63)
	p.rest, p.ok = rest, p.ok && err == nil
	return n
}

func (p *parser) quoted() string {
	field, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		p.ok = false
		return ""
	}
	p.rest = strings.TrimPrefix(p.rest[len(field):], " ")
	s, err := strconv.Unquote(field)
	p.ok = p.ok && err == nil
	return s
}

// resumption describes an appender that goes on at the note. sends is how many announced batches may be stored already.
func (n note) resumption(name string, sends int) backend.Resumption {
	return backend.Resumption{Name: name, Seq: n.Seq, Records: n.Records, Sent: n.Seq + uint64(sends), Origin: n.Origin}
}

// behind returns the note after the round is stored.
func (n note) behind(r *round) note {
	// The fields move together. From says which records come next, and Seq and Records say under which number. If From
	// moved alone, the next relay would send new records under a number that is used up.
	n.From, n.Counts = r.behind, nil
	n.Seq += uint64(len(r.toSend()))
	for _, b := range r.batches {
		n.Records += uint64(len(b))
	}
	return n
}
