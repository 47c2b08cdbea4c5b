package server

import (
	"encoding/binary"
	"fmt"
)

// A chunk is what one append stored: its records as the repeated field of a ReadBatch, ready to be sent. It never changes.
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

// next cuts the first record off data. headers is scratch for its headers, nil when only the numbers are wanted.
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

// A batch is what a read has taken so far: pieces of chunks, in order.
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

// limits bound what a read may still take. until is exclusive, unless it is forever.
type limits struct {
	records, metered int
	until            uint64
}

func (l *limits) passed(ts uint64) bool { return ts >= l.until && l.until != forever }

// take adds the records of c from seq on, as far as lim and a frame allow. all says that the chunk was exhausted; if not,
// done says that the read is over: lim, and not the size of one batch, was in the way.
func (b *batch) take(c *chunk, from uint64, lim limits) (all, done bool, err error) {
	if len(c.data) == 0 {
		return true, false, nil // a trim was quicker
	}
	if from <= c.first && !lim.passed(c.lastTS) && c.records <= min(lim.records, maxRecords)-b.records && c.metered <= min(lim.metered, maxMetered)-b.metered &&
		b.size+len(c.data) <= maxSegments {
		b.add(c.data, c.records, c.metered, c.end()-1)
		return true, false, nil
	}
	rest := c.data
	start, at := 0, 0
	records, metered := 0, 0
	var last uint64
	flush := func() {
		if records > 0 {
			b.add(c.data[start:at], records, metered, last)
		}
	}
	for len(rest) > 0 {
		s, more, err := next(rest, nil)
		if err != nil {
			return false, false, err
		}
		rest = more
		if s.seq < from {
			at += s.size
			start = at
			continue
		}
		if lim.passed(s.ts) || b.records+records == lim.records || b.metered+metered+s.metered > lim.metered {
			flush()
			return false, true, nil
		}
		full := b.records+records == maxRecords || b.metered+metered+s.metered > maxMetered || b.size+at-start+s.size > maxSegments
		if full && b.records+records > 0 {
			flush()
			return false, false, nil
		}
		records++
		metered += s.metered
		last = s.seq
		at += s.size
	}
	flush()
	return true, false, nil
}

// writeTo appends the batch as the payload of a frame.
func (b *batch) appendProto(dst []byte) []byte {
	for _, s := range b.segs {
		dst = append(dst, s...)
	}
	return dst
}

// firstAt returns the first seq at or above from whose record has a time not before ts, within c.
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

// parseCommand tells a command record: exactly one header, with an empty name.
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

// validate says what is wrong with an input before any stream is looked at.
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
