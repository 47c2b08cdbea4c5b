package codectest

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/headrace/headrace/codec"
)

// into checks a [codec.IntoDecoder]; other codecs pass. One dst serves all values, as in a consumer: a value that refers to dst
// would change with the next value.
func (s *suite[T]) into() error {
	c, ok := s.codec.(codec.IntoDecoder[T])
	if !ok {
		return nil
	}
	var dst, zero T
	var values []T
	for i, b := range s.encoded {
		if err := c.DecodeInto(&dst, bytes.Clone(b)); err != nil {
			return fmt.Errorf("value %d: DecodeInto of %.100q: %w", i, b, err)
		}
		values = append(values, dst)
		dst = zero
	}
	for i, v := range values {
		if !s.equal(v, s.values[i]) {
			return fmt.Errorf("value %d: DecodeInto makes %+v of %.100q, want %+v", i, v, s.encoded[i], s.values[i])
		}
	}
	return nil
}

// intoCut checks that DecodeInto refuses what Decode refuses, by records that are cut short, and leaves a zero value.
func (s *suite[T]) intoCut() error {
	c, ok := s.codec.(codec.IntoDecoder[T])
	if !ok {
		return nil
	}
	for i, b := range s.encoded {
		for n := range min(len(b), 100) {
			cut := b[:len(b)-1-n]
			_, want := s.codec.Decode(bytes.Clone(cut))
			var dst T
			err := c.DecodeInto(&dst, bytes.Clone(cut))
			if (err == nil) != (want == nil) {
				return fmt.Errorf("value %d: of %.100q DecodeInto returns %v, Decode %v", i, cut, err, want)
			}
			if err != nil && !reflect.ValueOf(&dst).Elem().IsZero() {
				return fmt.Errorf("value %d: DecodeInto refuses %.100q and leaves %+v", i, cut, dst)
			}
		}
	}
	return nil
}
