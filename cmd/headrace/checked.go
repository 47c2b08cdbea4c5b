package main

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// A checked source fails at the first record that the codec cannot write. A relay moves records without a codec.
// Without the check, a stream of JSON would get records with other bytes.
type checked struct {
	backend.Source
	codec codec.Codec[[]byte]
}

// OpenReader implements [backend.Source]. Every opening makes a new reader, also after a lost connection, and the
// checks go on there.
func (c checked) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := c.Source.OpenReader(ctx, from)
	if err != nil {
		return nil, err
	}
	return &checkedReader{Reader: r, codec: c.codec}, nil
}

type checkedReader struct {
	backend.Reader
	codec   codec.Codec[[]byte]
	scratch []byte
	failed  error // of the record behind those that Read has returned
}

// Read first returns the records before a wrong record, and the copy contains these records. The encoded value is
// thrown away, because only the error of the codec matters.
func (r *checkedReader) Read(ctx context.Context) (backend.Batch, error) {
	if r.failed != nil {
		return backend.Batch{}, r.failed
	}
	b, err := r.Reader.Read(ctx)
	for i := range b.Records {
		var bad error
		if r.scratch, bad = r.codec.AppendEncode(r.scratch[:0], b.Records[i].Value); bad == nil {
			continue
		}
		at := b.Records[i].Offset
		r.failed = fmt.Errorf("record at %q: %w (leave --json out to copy the bytes as they are)", at, bad)
		if i == 0 {
			return backend.Batch{}, r.failed
		}
		// The batch ends in front of the wrong record, and so does its Next: a later copy with other flags begins with
		// exactly this record. The error comes with the next Read, because an error together with records would lose
		// them.
		return backend.Batch{Records: b.Records[:i], Next: at}, nil
	}
	return b, err
}
