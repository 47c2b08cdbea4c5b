package server

import "fmt"

// A chunk is the result of one append. Its data is the repeated field `records` of a ReadBatch. Readers receive exactly
// the stored bytes, and a read needs no encoding. A chunk never changes, and readers use chunks without a lock. A chunk
// is as large as its batch was, at most 1 MiB of metered bytes. Small batches are not merged: an append would then have
// to rewrite a stored chunk, and readers could no longer read without a lock.
type chunk struct {
	first           uint64
	records         int
	metered         int
	firstTS, lastTS uint64
	arrived         int64 // Unix milliseconds; retention by age compares with this time
	data            []byte
}

func (c *chunk) end() uint64 { return c.first + uint64(c.records) }

// A stored record is one SequencedRecord within the data of a chunk.
type stored struct {
	seq, ts uint64
	metered int
	body    []byte
	headers []header
	size    int // the bytes of the whole field in the chunk
}

// next cuts the first record off data. It collects the headers of the record in headers, and uses the memory of headers
// again for each record. If headers is nil, next does not collect the headers. Only JSON needs the headers. The limits
// of a read need the metered size alone.
func next(data []byte, headers *[]header) (s stored, rest []byte, err error) {
	// The data was written by appendSequenced. Something else means that the file is damaged, and a reader must hear of
	// the damage instead of getting fewer records.
	num, typ, _, msg, rest, err := field(data)
	if err != nil || num != 1 || typ != 2 {
		return s, nil, fmt.Errorf("a stored batch is damaged: %w", errWire)
	}
	s.size = len(data) - len(rest)
	s.metered = 8 // the metered size of a record without headers and body
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
			// The metered size is not stored with each record, so it is counted again with the formula of metered.
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

// A batch is what a read has collected for its next answer: pieces of chunks, in order. Nothing is copied: segs points
// into the chunks. A batch may hold pieces of many chunks, because a stream of small appends would otherwise send a
// frame for each append, and a client that catches up would spend its time on frames.
type batch struct {
	segs    [][]byte
	records int
	metered int
	size    int    // the bytes of segs
	last    uint64 // the seq of the last record
}

// reset empties the batch. It clears the pieces too, because a piece keeps the whole memory of its chunk alive.
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

// limits are the rest of the limits of a read: records, metered bytes, and a time. The read ends before the first
// record with a timestamp of until or later. If until is forever, there is no time limit. Timestamps never go down in a
// stream, and therefore no record behind the first late record is early enough. The limits are those of the query over
// all batches. The limits of one batch are others: see take.
type limits struct {
	records, metered int
	until            uint64
}

func (l *limits) passed(ts uint64) bool { return ts >= l.until && l.until != forever }

// take adds the records of c from seq from on to the batch, as far as lim and the size of one batch allow. usedUp =
// true: all records of c are in the batch. If usedUp is false, limitMet tells why. limitMet = true: a limit of lim was
// met, and the read is over. limitMet = false: the batch is full, and the rest of c belongs to the next batch.
func (b *batch) take(c *chunk, from uint64, lim limits) (usedUp, limitMet bool, err error) {
	if len(c.data) == 0 {
		return true, false, nil // a trim has removed the data between the look at the log and load
	}
	if b.takesWhole(c, from, lim) {
		b.add(c.data, c.records, c.metered, c.end()-1)
		return true, false, nil
	}
	// The slow path decodes record by record, because only the record itself tells its size and its time.
	// A record larger than the bytes that the query has left ends the read with an empty batch: S2 has no rule that
	// gives a reader at least one record.
	p := piece{data: c.data}
	for rest := c.data; len(rest) > 0; {
		s, more, err := next(rest, nil)
		if err != nil {
			return false, false, err
		}
		rest = more
		// The read starts inside this chunk, or an earlier batch has taken the beginning of this chunk.
		if s.seq < from {
			p.skip(&s)
			continue
		}
		// The metered size includes this record. The count does not, because the switch asks for room for one more.
		records, metered := b.records+p.records, b.metered+p.metered+s.metered
		switch {
		// Limits of the read come before limits of the batch. If both are met, the read must end and not ask for
		// another batch.
		case lim.passed(s.ts) || records == lim.records || metered > lim.metered:
			b.addPiece(&p)
			return false, true, nil
		// The first record of a batch is always taken, even if it is larger than a batch. Otherwise the read could
		// never go on.
		case records > 0 && (records == maxRecords || metered > maxMetered || b.size+p.size()+s.size > maxSegments):
			b.addPiece(&p)
			return false, false, nil
		}
		p.grow(&s)
	}
	b.addPiece(&p)
	return true, false, nil
}

// takesWhole reports whether all of c fits into the batch. Then nobody has to decode the records of c. This is the fast
// path of reads: a follower gets the chunks as they were appended. The bounds are the bounds of take: a record more or
// less would break the limits of the read. Also the time limit can be decided without decoding: the last timestamp of a
// chunk is its highest.
func (b *batch) takesWhole(c *chunk, from uint64, lim limits) bool {
	return from <= c.first && !lim.passed(c.lastTS) && c.records <= min(lim.records, maxRecords)-b.records &&
		c.metered <= min(lim.metered, maxMetered)-b.metered && b.size+len(c.data) <= maxSegments
}

// A piece is a run of whole records within the data of a chunk. take grows the piece record by record, and adds the
// piece to the batch at the end. Therefore a run of a thousand records is a single entry of the batch, and a single
// write to the client.
type piece struct {
	data             []byte
	start, end       int
	records, metered int
	last             uint64 // the seq of the last record
}

// size counts encoded bytes and not metered bytes: a frame is bounded by its encoding, and headers encode to twice
// their metered size in the worst case.
func (p *piece) size() int { return p.end - p.start }

// skip passes over the next record. The piece begins behind this record.
func (p *piece) skip(s *stored) {
	p.end += s.size
	p.start = p.end
}

// grow adds the next record to the piece.
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

// appendProto appends the batch as the payload of a frame. Concatenated repeated fields are a valid protobuf message,
// so the pieces need nothing in between.
func (b *batch) appendProto(dst []byte) []byte {
	for _, s := range b.segs {
		dst = append(dst, s...)
	}
	return dst
}

// firstAt returns the first seq of c from from on whose record has a timestamp of ts or later, or the end of c without
// such a record. from is the head of the stream: a chunk may begin with records removed by a trim. The search by time
// has found the chunk by its last timestamp, so normally some record of the chunk is late enough.
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

// A command is what a command record does.
type command int

const (
	noCommand command = iota
	fence
	trim
)

// parseCommand returns the command of a record. A command record has exactly one header; the name of this header is
// empty, and its value names the command. The body of a fence is the new fencing token. The body of a trim is the first
// seq to keep, as 8 bytes. A command is stored like every record: it has a seq number, is metered, and readers receive
// it. A reader that did not receive it would see a hole.
func parseCommand(r *record, headers []header) (command, error) {
	for i := range headers {
		if len(headers[i].name) > 0 {
			continue
		}
		// S2 takes a record with one nameless header for a command. A nameless header beside other headers is a mistake
		// and not data: stored as data, a reader could take it for a command.
		if len(headers) > 1 {
			return noCommand, invalid("a header without a name must be the only header of its record")
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
		return noCommand, invalid("unknown command `%s`: the commands are fence and trim", headers[0].value)
	}
	return noCommand, nil
}

// validate returns the first mistake of an input, independent of the stream. All records are checked before any record
// is stored, because a batch is stored whole or not at all.
func (in *input) validate() error {
	switch {
	case in.tooMany:
		return invalid("record batch must not exceed %d records", maxRecords)
	// An empty batch would have no position to acknowledge.
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
	// Only a record with headers can be a command.
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
