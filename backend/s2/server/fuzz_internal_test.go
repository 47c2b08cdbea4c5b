package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzInput stores every input that parses and is valid, and reads it back record by record.
func FuzzInput(f *testing.F) {
	f.Add([]byte("\x0a\x0e\x08\x00\x12\x06\x0a\x01k\x12\x01v\x1a\x02hi\x10\x00\x1a\x00"))
	f.Add([]byte("\x0a\x0e\x12\x07\x12\x05fence\x1a\x03tok"))
	f.Add([]byte("\x0a\x02\x1a\x00\x0a\x00\x3a\x01x"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := newInput()
		defer in.free()
		if in.parse(b) != nil || in.validate() != nil {
			return
		}
		var data []byte
		for i := range in.recs {
			r := &in.recs[i]
			data = appendSequenced(data, r, in.headers[r.h0:r.h1], uint64(i), r.ts)
		}
		c := chunk{records: len(in.recs), metered: in.metered, data: data}
		var whole, cut batch
		if _, _, err := whole.take(&c, 0, limits{records: maxRecords, metered: maxMetered, until: forever}); err != nil {
			t.Fatal(err)
		}
		c.metered = maxMetered + 1 // a chunk that does not fit whole is taken record by record
		if _, _, err := cut.take(&c, 0, limits{records: maxRecords, metered: maxMetered, until: forever}); err != nil {
			t.Fatal(err)
		}
		if whole.metered != in.metered || cut.metered != in.metered {
			t.Errorf("%d and %d metered bytes, %d went in", whole.metered, cut.metered, in.metered)
		}
		var headers []header
		for i := range in.recs {
			r := &in.recs[i]
			s, rest, err := next(data, &headers)
			if err != nil {
				t.Fatal(err)
			}
			data = rest
			if s.seq != uint64(i) || s.ts != r.ts || !bytes.Equal(s.body, r.body) || len(s.headers) != r.h1-r.h0 {
				t.Fatalf("record %d came back as %+v", i, s)
			}
			for j, h := range in.headers[r.h0:r.h1] {
				if !bytes.Equal(s.headers[j].name, h.name) || !bytes.Equal(s.headers[j].value, h.value) {
					t.Fatalf("record %d: header %d", i, j)
				}
			}
		}
		if len(data) > 0 {
			t.Errorf("%d bytes too many", len(data))
		}
	})
}

// FuzzFrame reads frames until the bytes end or are refused: never more than was sent, never larger than the limit.
func FuzzFrame(f *testing.F) {
	c, err := newCoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.close)
	big := bytes.Repeat([]byte("a"), minCompressed)
	for _, how := range []codec{plain, zstdC, gzipC} {
		f.Add(c.appendFrame(nil, big, how, 0))
	}
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{0x20, 0, 1, 0})
	f.Add([]byte{0, 0, 2, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		var buf []byte
		for {
			var payload []byte
			payload, buf, err = c.readFrame(r, buf)
			if err != nil {
				if e := (*apiError)(nil); err != io.EOF && !errors.As(err, &e) {
					t.Fatalf("untyped: %v", err)
				}
				return
			}
			if len(payload) >= maxFrame {
				t.Fatalf("payload of %d bytes", len(payload))
			}
			again, _, err := c.readFrame(bufio.NewReader(bytes.NewReader(c.appendFrame(nil, payload, zstdC, 0))), nil)
			if err != nil || !bytes.Equal(again, payload) {
				t.Fatalf("%x came back as %x, %v", payload, again, err)
			}
		}
	})
}
