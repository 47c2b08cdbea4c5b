package codectest

import (
	"bytes"
	"fmt"
)

// written is the byte with which the suite overwrites memory that belongs to the suite.
const written = 0xA5

// owner checks that each encoding belongs to the caller, spare capacity included. owner overwrites an encoding, and then
// looks at the values and at the other encodings. Afterwards owner restores the overwritten bytes. Otherwise a single fault
// would be reported several times.
func (s *suite[T]) owner() error {
	for _, room := range []int{0, 1, 64, 4096} {
		outs := make([][]byte, len(s.values))
		for i, v := range s.values {
			var err error
			if outs[i], err = s.codec.AppendEncode(make([]byte, 0, room), v); err != nil {
				return fmt.Errorf("value %d: %w", i, err)
			}
		}
		before := make([][]byte, len(outs))
		for i, out := range outs {
			before[i] = bytes.Clone(out)
		}
		for i, out := range outs {
			whole := out[:cap(out)]
			held := bytes.Clone(whole)
			for j := range whole {
				whole[j] = written
			}
			err := s.unharmed(i, outs, before)
			copy(whole, held)
			if err != nil {
				return fmt.Errorf("an empty dst with room for %d bytes: %w", room, err)
			}
		}
	}
	return s.chain()
}

// unharmed checks that the caller has damaged nothing by overwriting the encoding of value number over: neither that
// value nor the encodings of the other values.
func (s *suite[T]) unharmed(over int, outs, before [][]byte) error {
	for i := range outs {
		if i != over && !bytes.Equal(outs[i], before[i]) {
			return fmt.Errorf("the encodings of values %d and %d share memory", over, i)
		}
	}
	if out, err := s.codec.AppendEncode(nil, s.values[over]); err != nil || len(out) != len(before[over]) {
		return fmt.Errorf("value %d: writing to its encoding changed the value: it encodes as %.100q now (%v)", over, out, err)
	} else if out = bytes.Clone(out); len(out) > 0 && len(bytes.Trim(out, string([]byte{written}))) == 0 {
		return fmt.Errorf("value %d: its encoding is memory of the value: writing to the one changed the other", over)
	}
	if s.writeOnly {
		return nil
	}
	v, err := s.codec.Decode(bytes.Clone(before[over]))
	if err != nil || !s.equal(v, s.values[over]) {
		return fmt.Errorf("value %d: its encoding is memory of the value: the value is %+v now, was %+v (%v)", over, s.values[over], v, err)
	}
	return nil
}

// chain encodes all values one behind another into one buffer, as a producer does with several values, and then uses
// the buffer again.
func (s *suite[T]) chain() error {
	var buf []byte
	for range 2 {
		buf = buf[:0]
		ends := []int{0}
		for i, v := range s.values {
			out, err := s.codec.AppendEncode(buf, v)
			if err != nil {
				return fmt.Errorf("value %d behind others: %w", i, err)
			}
			buf, ends = out, append(ends, len(out))
		}
		for i := range s.values {
			if ends[i] > ends[i+1] {
				return fmt.Errorf("value %d: encoding it behind another made the result shorter", i)
			}
			if err := s.decodesTo(bytes.Clone(buf[ends[i]:ends[i+1]]), i); err != nil {
				return fmt.Errorf("one behind another: %w", err)
			}
		}
	}
	return nil
}
