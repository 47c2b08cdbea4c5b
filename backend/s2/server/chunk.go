package server

import (
	"encoding/binary"
	"fmt"
)

// A chunk is what one append has stored. Its data is the repeated field of a ReadBatch: the bytes that are sent to readers are
// the bytes that are stored. A chunk never changes.
type chunk struct {
	first           uint64
	records         int
	metered         int
	firstTS, lastTS uint64
	arrived         int64 // Unix milliseconds; what retention goes by
	data            []byte
}

func (c *chunk) end() uint64 { return c.first + uint64(c.records) }

// A stored record is one SequencedRecord within a chunk.
type stored struct {
	seq, ts uint64
	metered int
	body    []byte
	headers []header
	size    int // of the whole field in the chunk
}

// next cuts the first record off data. It collects the headers of the record in headers, whose memory is used again. If headers
// is nil, next reads the numbers of the record only.
func next(data []byte, headers *[]header) (s stored, rest []byte, err error) {
	num, typ, _, msg, rest, err := field(data)
	if err != nil || num != 1 || typ != 2 {
		return s, nil, fmt.Errorf("stored batch: %w", errWire)
	}
	s.size = len(data) - len(rest)
	s.metered = 8
	if headers != nil {
		*headers = (*headers)[:0]
	}
	for len(msg) > 0 {
		num, _, v, b, more, err := field(msg)
		if err != nil {
			return s, nil, err
		}
		msg = more
		switch num {
		case 1:
			s.seq = v
		case 2:
			s.ts = v
		case 3:
			h, err := parseHeader(b)
			if err != nil {
				return s, nil, err
			}
			s.metered += 2 + len(h.name) + len(h.value)
			if headers != nil {
				*headers = append(*headers, h)
			}
		case 4:
			s.body = b
			s.metered += len(b)
		}
	}
	if headers != nil {
		s.headers = *headers
	}
	return s, rest, nil
}

// A batch is what a read has taken so far: pieces of chunks, in order. Nothing is copied: segs points into the chunks.
type batch struct {
	segs    [][]byte
	records int
	metered int
	size    int    // of segs
	last    uint64 // seq of the last record
}

func (b *batch) reset() {
	clear(b.segs)
	*b = batch{segs: b.segs[:0]}
}

func (b *batch) add(seg []byte, records, metered int, last uint64) {
	b.segs = append(b.segs, seg)
	b.records += records
	b.metered += metered
	b.size += len(seg)
	b.last = last
}

// limits bound what a read may still take: records, metered bytes, and the time until, which is exclusive. forever is no bound.
type limits struct {
	records, metered int
	until            uint64
}

func (l *limits) passed(ts uint64) bool { return ts >= l.until && l.until != forever }

// take adds the records of c from seq on, as far as lim and the size of one batch allow. all says that c is used up. If it is
// not, done says which limit was met: one of lim, so the read is over, or the size of a batch, so the rest of c is for the next
// batch.
func (b *batch) take(c *chunk, from uint64, lim limits) (all, done bool, err error) {
	if len(c.data) == 0 {
		return true, false, nil // a trim has removed the data meanwhile
	}
	if b.takesWhole(c, from, lim) {
		b.add(c.data, c.records, c.metered, c.end()-1)
		return true, false, nil
	}
	p := piece{data: c.data}
	for rest := c.data; len(rest) > 0; {
		s, more, err := next(rest, nil)
		if err != nil {
			return false, false, err
		}
		rest = more
		if s.seq < from {
			p.skip(&s)
			continue
		}
		records, metered := b.records+p.records, b.metered+p.metered+s.metered
		switch {
		case lim.passed(s.ts) || records == lim.records || metered > lim.metered:
			b.addPiece(&p)
			return false, true, nil
		case records > 0 && (records == maxRecords || metered > maxMetered || b.size+p.size()+s.size > maxSegments):
			b.addPiece(&p)
			return false, false, nil
		}
		p.grow(&s)
	}
	b.addPiece(&p)
	return true, false, nil
}

// takesWhole reports whether all of c fits, so that nobody has to look at its records.
func (b *batch) takesWhole(c *chunk, from uint64, lim limits) bool {
	return from <= c.first && !lim.passed(c.lastTS) && c.records <= min(lim.records, maxRecords)-b.records &&
		c.metered <= min(lim.metered, maxMetered)-b.metered && b.size+len(c.data) <= maxSegments
}

// A piece is a run of whole records within the data of a chunk.
type piece struct {
	data             []byte
	start, end       int
	records, metered int
	last             uint64 // seq of the last record
}

func (p *piece) size() int { return p.end - p.start }

// skip passes over the next record, in front of the piece.
func (p *piece) skip(s *stored) {
	p.end += s.size
	p.start = p.end
}

// grow makes the next record part of the piece.
func (p *piece) grow(s *stored) {
	p.end += s.size
	p.records++
	p.metered += s.metered
	p.last = s.seq
}

func (b *batch) addPiece(p *piece) {
	if p.records > 0 {
		b.add(p.data[p.start:p.end], p.records, p.metered, p.last)
	}
}

// appendProto appends the batch as the payload of a frame.
func (b *batch) appendProto(dst []byte) []byte {
	for _, s := range b.segs {
		dst = append(dst, s...)
	}
	return dst
}

// firstAt returns the first seq of c, from the seq from on, whose record has a time not before ts. If there is none, it returns
// the end of c.
func (c *chunk) firstAt(ts, from uint64) (uint64, error) {
	for rest := c.data; len(rest) > 0; {
		s, more, err := next(rest, nil)
		if err != nil {
			return 0, err
		}
		if s.seq >= from && s.ts >= ts {
			return s.seq, nil
		}
		rest = more
	}
	return c.end(), nil
}

// command is what a command record does.
type command int

const (
	noCommand command = iota
	fence
	trim
)

// parseCommand tells what a record commands. A command record has exactly one header, whose name is empty and whose value names
// the command. A fence has the new token in its body, a trim the first seq to keep.
func parseCommand(r *record, headers []header) (command, error) {
	for i := range headers {
		if len(headers[i].name) > 0 {
			continue
		}
		if len(headers) > 1 {
			return noCommand, invalid("invalid header: empty name")
		}
		switch string(headers[0].value) {
		case "fence":
			if len(r.body) > maxToken {
				return noCommand, invalid("fencing token exceeds %d bytes", maxToken)
			}
			return fence, checkUTF8("fencing token", r.body)
		case "trim":
			if len(r.body) != 8 {
				return noCommand, invalid("trim point must be 8 bytes, big-endian")
			}
			return trim, nil
		}
		return noCommand, invalid("unknown command")
	}
	return noCommand, nil
}

// validate says what is wrong with an input, whatever stream it is for.
func (in *input) validate() error {
	switch {
	case in.tooMany:
		return invalid("record batch must not exceed %d records", maxRecords)
	case len(in.recs) == 0:
		return invalid("record batch must not be empty")
	case in.metered > maxMetered:
		return invalid("record batch must not exceed a metered size of 1 MiB")
	case len(in.token) > maxToken:
		return invalid("fencing token exceeds %d bytes", maxToken)
	}
	if err := checkUTF8("fencing token", in.token); err != nil {
		return err
	}
	if len(in.headers) == 0 {
		return nil
	}
	for i := range in.recs {
		if _, err := in.command(i); err != nil {
			return err
		}
	}
	return nil
}

func (in *input) command(i int) (command, error) {
	r := &in.recs[i]
	if r.h0 == r.h1 {
		return noCommand, nil
	}
	return parseCommand(r, in.headers[r.h0:r.h1])
}

func trimPoint(body []byte) uint64 { return binary.BigEndian.Uint64(body) }
