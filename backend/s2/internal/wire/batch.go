package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
)

// A Batch is a decoded ReadBatch. Nearly every batch has no gap, and then Seqs costs nothing. A gap appears where a
// trim has removed records.
type Batch struct {
	Records []backend.Record // without offsets
	Seqs    []uint64         // of the records; nil if the records follow each other from First without a gap
	First   uint64           // of the first record
	Tail    Position
	HasTail bool
}

// Seq returns the sequence number of record i.
func (b *Batch) Seq(i int) uint64 {
	if b.Seqs != nil {
		return b.Seqs[i]
	}
	return b.First + uint64(i)
}

// A Decoder reads the ReadBatches of one session. It remembers the header names of the record before. In most streams
// all records have the same names, and then no string is allocated. A Decoder is not safe for several goroutines.
type Decoder struct {
	names   []string
	headers int       // number of headers in the last batch; the next batch will probably have as many
	records int       // number of records in the last batch
	size    int       // bytes of the last batch with a record
	ms      uint64    // timestamp of the last record; the next record will often have the same
	time    time.Time // ms as a time
}

// batchRecords is the protocol's limit of records in a batch. Without the limit, a few bytes of a peer could make us
// allocate much memory.
const batchRecords = 1000

// tagRecord is the tag of a record in a ReadBatch.
const tagRecord = 1<<3 | delimited

// nameLimit bounds how many names a Decoder remembers. The names of later headers in a record are allocated each time.
// A record with more headers is rare, and a peer must not be able to fill our memory with names.
const nameLimit = 16

// Decode reads a ReadBatch. The values of the records alias p, therefore nobody may write to p afterwards. The message
// is walked twice: once to count the records, and once to read them. Counting is quick, because it only jumps from
// length to length, and one allocation of the right size is cheaper than several that grow.
func (d *Decoder) Decode(p []byte) (Batch, error) {
	var b Batch
	size := len(p)
	var err error
	// The headers of all records lie in one array. A guess that is too small costs one more array and nothing else.
	arena := make(backend.Headers, 0, d.headers)
	for len(p) > 0 {
		tag, _, from, to := next(p)
		if to == 0 {
			return Batch{}, malformed(p)
		}
		switch tag {
		case tagRecord:
			i := len(b.Records)
			if i == cap(b.Records) || i == batchRecords {
				if b.Records, err = d.grow(b.Records, size); err != nil {
					return Batch{}, err
				}
			}
			b.Records = b.Records[:i+1]
			r := &b.Records[i]
			seq, ms, body := usual(p[from:to])
			if body > 0 {
				// The capacity ends with the value. An append by the caller would otherwise overwrite the next record.
				r.Value, r.Time = p[from+body:to:to], d.at(ms)
			} else if arena, seq, err = d.record(r, arena, p[from:to]); err != nil {
				return Batch{}, err
			}
			if err := b.place(seq); err != nil {
				return Batch{}, err
			}
		case 2<<3 | delimited:
			b.HasTail = true
			if err := mergePosition(&b.Tail, p[from:to]); err != nil {
				return Batch{}, err
			}
		}
		p = p[to:]
	}
	d.headers = len(arena)
	if len(b.Records) > 0 {
		d.records, d.size = len(b.Records), size
	}
	return b, nil
}

// grow returns recs with room for at least one more record of a batch of size bytes. The batch probably has records of
// the same size as the batch before. To count the records first would cost an eighth of the time of Decode.
func (d *Decoder) grow(recs []backend.Record, size int) ([]backend.Record, error) {
	n := 2*len(recs) + 1
	switch {
	case len(recs) == batchRecords:
		return nil, fmt.Errorf("malformed batch: more than %d records", batchRecords)
	case len(recs) == 0 && d.size > 0:
		n = d.records*size/d.size + 1
	}
	return append(records.Slice(min(n, batchRecords)), recs...), nil
}

// place stores the sequence number of the last record in the batch. It refuses a number that is not larger than the
// number before, because the offsets of the records would be wrong. The largest number is refused, because the place
// behind it could not be named, and a reader would begin again at 0.
func (b *Batch) place(seq uint64) error {
	i := len(b.Records) - 1
	if seq == math.MaxUint64 {
		return fmt.Errorf("malformed batch: sequence number %d has no successor", seq)
	}
	if i == 0 {
		b.First = seq
		return nil
	}
	last := b.Seq(i - 1)
	switch {
	case seq <= last:
		return fmt.Errorf("malformed batch: sequence number %d behind %d", seq, last)
	case b.Seqs == nil && seq == last+1:
		return nil
	case b.Seqs == nil:
		// The first gap: the numbers up to here are written out, and every later record adds its own.
		b.Seqs = make([]uint64, i, cap(b.Records))
		for j := range b.Seqs {
			b.Seqs[j] = b.First + uint64(j)
		}
	}
	b.Seqs = append(b.Seqs, seq)
	return nil
}

// usual reads a SequencedRecord of the usual shape: number, time and a body of less than 16 KiB, each once and in this
// order. Nearly all records have this shape. body is where the body begins; the body ends at the end of p. If body is
// 0, the record has another shape, and [Decoder.record] must read the record. usual takes half the time of record.
func usual(p []byte) (seq, ms uint64, body int) {
	if len(p) < 8 || p[0] != 1<<3|varint {
		return 0, 0, 0
	}
	seq, n := binary.Uvarint(p[1:])
	at := 1 + n
	if n <= 0 || at >= len(p) || p[at] != 2<<3|varint {
		return 0, 0, 0
	}
	ms, n = binary.Uvarint(p[at+1:])
	at += 1 + n
	if n <= 0 || len(p)-at < 3 || p[at] != 4<<3|delimited {
		return 0, 0, 0
	}
	size := int(p[at+1])
	at += 2
	// Two bytes of length reach to 16 KiB. With a longer body, the time for the network makes the slow path invisible.
	if size >= 0x80 {
		if p[at] >= 0x80 {
			return 0, 0, 0
		}
		size = size&0x7f | int(p[at])<<7
		at++
	}
	if size != len(p)-at {
		return 0, 0, 0
	}
	return seq, ms, at
}

// record reads a SequencedRecord of any shape. It appends the headers to arena. If arena has to grow, the records
// before keep their headers in the old memory.
func (d *Decoder) record(r *backend.Record, arena backend.Headers, p []byte) (_ backend.Headers, seq uint64, err error) {
	first := len(arena)
	var ms uint64
	for len(p) > 0 {
		tag, val, from, to := next(p)
		if to == 0 {
			return nil, 0, malformed(p)
		}
		switch tag {
		case 1<<3 | varint:
			seq = val
		case 2<<3 | varint:
			ms = val
		case 3<<3 | delimited:
			h, err := d.header(len(arena)-first, p[from:to])
			if err != nil {
				return nil, 0, err
			}
			arena = append(arena, h)
		case 4<<3 | delimited:
			r.Value = p[from:to:to]
		}
		p = p[to:]
	}
	if len(arena) > first {
		r.Headers = arena[first:len(arena):len(arena)]
	}
	r.Time = d.at(ms)
	return arena, seq, nil
}

// at makes a time of a timestamp. The records of a batch often have the timestamp of their arrival in common.
func (d *Decoder) at(ms uint64) time.Time {
	if ms != d.ms || d.time.IsZero() {
		d.ms, d.time = ms, Time(ms)
	}
	return d.time
}

// header reads the header number i of a record. A name that stood there in the record before is not allocated again:
// comparing a string with bytes is free in Go, and converting is not.
func (d *Decoder) header(i int, p []byte) (h backend.Header, err error) {
	var name []byte
	for len(p) > 0 {
		tag, _, from, to := next(p)
		if to == 0 {
			return h, malformed(p)
		}
		switch tag {
		case 1<<3 | delimited:
			name = p[from:to]
		case 2<<3 | delimited:
			h.Value = p[from:to:to]
		}
		p = p[to:]
	}
	if i < len(d.names) && string(name) == d.names[i] {
		h.Name = d.names[i]
		return h, nil
	}
	h.Name = string(name)
	if i < len(d.names) {
		d.names[i] = h.Name
	} else if i == len(d.names) && i < nameLimit {
		d.names = append(d.names, h.Name)
	}
	return h, nil
}

// Add appends a record that was decoded from another format, such as JSON. The same rules hold, so a reader of
// server-sent events finds the same damage as a reader of frames.
func (b *Batch) Add(seq uint64, r backend.Record) error {
	if len(b.Records) == batchRecords {
		return fmt.Errorf("malformed batch: more than %d records", batchRecords)
	}
	b.Records = append(b.Records, r)
	return b.place(seq)
}
