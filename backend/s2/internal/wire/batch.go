package wire

import (
	"fmt"
	"math"

	"github.com/headrace/headrace/backend"
)

// A Batch is a decoded ReadBatch.
type Batch struct {
	Records []backend.Record // without offsets
	Seqs    []uint64         // of the records; nil when they run from First without a gap
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

// A Decoder reads the ReadBatches of one session. It remembers header names from record to record, so that the usual
// stream, whose records all have the same ones, makes no string for each.
type Decoder struct {
	names   []string
	headers int // of the last batch: the next one is likely to have as many
}

// batchRecords is the protocol's limit. It bounds what a peer's few bytes make us allocate.
const batchRecords = 1000

// nameLimit bounds what a Decoder remembers: names at this place in a record and behind are made anew each time.
const nameLimit = 16

// Decode reads a ReadBatch. Values alias p, which must not be written again.
func (d *Decoder) Decode(p []byte) (Batch, error) {
	var b Batch
	n, err := count(p)
	if err != nil {
		return b, err
	}
	if n > 0 {
		b.Records = make([]backend.Record, 0, n)
	}
	arena := make(backend.Headers, 0, d.headers)
	for len(p) > 0 {
		f, rest, err := next(p)
		if err != nil {
			return Batch{}, err
		}
		p = rest
		switch {
		case f.kind == 2 && f.num == 1:
			b.Records = b.Records[:len(b.Records)+1]
			var seq uint64
			if arena, seq, err = d.record(&b.Records[len(b.Records)-1], arena, f.data); err != nil {
				return Batch{}, err
			}
			if err := b.place(seq); err != nil {
				return Batch{}, err
			}
		case f.kind == 2 && f.num == 2:
			b.HasTail = true
			if err := mergePosition(&b.Tail, f.data); err != nil {
				return Batch{}, err
			}
		}
	}
	d.headers = len(arena)
	return b, nil
}

// place notes the sequence number of the last record.
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
		b.Seqs = make([]uint64, i, cap(b.Records))
		for j := range b.Seqs {
			b.Seqs[j] = b.First + uint64(j)
		}
	}
	b.Seqs = append(b.Seqs, seq)
	return nil
}

// count looks how many records p has, so that they are allocated once.
func count(p []byte) (records int, err error) {
	for len(p) > 0 {
		f, rest, err := next(p)
		if err != nil {
			return 0, err
		}
		p = rest
		if f.kind != 2 || f.num != 1 {
			continue
		}
		if records++; records > batchRecords {
			return 0, fmt.Errorf("malformed batch: more than %d records", batchRecords)
		}
	}
	return records, nil
}

// record reads a SequencedRecord. Its headers are cut from arena. When that has to grow, records before keep their part of
// the old one.
func (d *Decoder) record(r *backend.Record, arena backend.Headers, p []byte) (_ backend.Headers, seq uint64, err error) {
	first := len(arena)
	var ms uint64
	for len(p) > 0 {
		f, rest, err := next(p)
		if err != nil {
			return nil, 0, err
		}
		p = rest
		switch {
		case f.kind == 0 && f.num == 1:
			seq = f.val
		case f.kind == 0 && f.num == 2:
			ms = f.val
		case f.kind == 2 && f.num == 3:
			h, err := d.header(len(arena)-first, f.data)
			if err != nil {
				return nil, 0, err
			}
			arena = append(arena, h)
		case f.kind == 2 && f.num == 4:
			r.Value = f.data
		}
	}
	if len(arena) > first {
		r.Headers = arena[first:len(arena):len(arena)]
	}
	r.Time = Time(ms)
	return arena, seq, nil
}

func (d *Decoder) header(i int, p []byte) (h backend.Header, err error) {
	var name []byte
	for len(p) > 0 {
		var f field
		if f, p, err = next(p); err != nil {
			return h, err
		}
		switch {
		case f.kind == 2 && f.num == 1:
			name = f.data
		case f.kind == 2 && f.num == 2:
			h.Value = f.data
		}
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

// Add appends a record that was decoded from another form.
func (b *Batch) Add(seq uint64, r backend.Record) error {
	if len(b.Records) == batchRecords {
		return fmt.Errorf("malformed batch: more than %d records", batchRecords)
	}
	b.Records = append(b.Records, r)
	return b.place(seq)
}
