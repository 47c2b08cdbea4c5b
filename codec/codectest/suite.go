package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"reflect"
	"sync"

	"github.com/headrace/headrace/codec"
)

// A suite is a codec with its values and their encodings. Each check returns an error instead of failing a test. Therefore
// the tests of the suite can use broken codecs.
type suite[T any] struct {
	codec     codec.Codec[T]
	equal     func(a, b T) bool
	values    []T
	encoded   [][]byte
	writeOnly bool
}

func newSuite[T any](c codec.Codec[T], equal func(a, b T) bool, values []T) (*suite[T], error) {
	if len(values) == 0 {
		return nil, errors.New("codectest: no values to check with")
	}
	s := &suite[T]{codec: c, equal: equal, values: values}
	for i, v := range values {
		b, err := c.AppendEncode(nil, v)
		if err != nil {
			return nil, fmt.Errorf("value %d does not encode: %w", i, err)
		}
		s.encoded = append(s.encoded, bytes.Clone(b))
	}
	_, err := c.Decode(bytes.Clone(s.encoded[0]))
	s.writeOnly = errors.Is(err, errors.ErrUnsupported)
	return s, nil
}

// decodesTo decodes b and returns an error if the result is not value i.
func (s *suite[T]) decodesTo(b []byte, i int) error {
	if s.writeOnly {
		return nil
	}
	v, err := s.codec.Decode(b)
	if err != nil {
		return fmt.Errorf("value %d: decoding %.100q: %w", i, b, err)
	}
	if !s.equal(v, s.values[i]) {
		return fmt.Errorf("value %d: %.100q decodes to %+v, want %+v", i, b, v, s.values[i])
	}
	return nil
}

func (s *suite[T]) format() error {
	first := s.codec.Format()
	first.Schema = bytes.Clone(first.Schema)
	if first.ContentType != "" {
		if _, _, err := mime.ParseMediaType(first.ContentType); err != nil {
			return fmt.Errorf("content type %q: %w", first.ContentType, err)
		}
	}
	for range 3 {
		if again := s.codec.Format(); !reflect.DeepEqual(again, first) {
			return fmt.Errorf("the format was %+v and is %+v", first, again)
		}
		if err := s.decodesTo(bytes.Clone(s.encoded[0]), 0); err != nil {
			return err
		}
	}
	return nil
}

// view checks a [codec.Viewer]; other codecs pass.
func (s *suite[T]) view() error {
	viewer, ok := s.codec.(codec.Viewer[T])
	if !ok {
		return nil
	}
	for i, v := range s.values {
		if b, err := viewer.View(v); err != nil || !bytes.Equal(b, s.encoded[i]) {
			return fmt.Errorf("value %d: View returns %.100q and %v, AppendEncode appends %.100q", i, b, err, s.encoded[i])
		}
	}
	return nil
}

func (s *suite[T]) roundTrip() error {
	for i, b := range s.encoded {
		if err := s.decodesTo(bytes.Clone(b), i); err != nil {
			return err
		}
	}
	return nil
}

// appends encodes into a dst with each amount of room for which a codec may behave differently. dst lies in a larger
// array, and the bytes around dst belong to somebody else, so they must not change.
func (s *suite[T]) appends() error {
	const prefix, guard = "prefix", 0xA5
	for i, v := range s.values {
		n := len(s.encoded[i])
		for _, room := range []int{0, 1, n - 1, n, n + 1, 2*n + 64} {
			if room < 0 {
				continue
			}
			array := bytes.Repeat([]byte{guard}, 8+len(prefix)+room+64)
			end := 8 + len(prefix) + room
			dst := append(array[8:8:end], prefix...)
			out, err := s.codec.AppendEncode(dst, v)
			if err != nil {
				return fmt.Errorf("value %d encodes into nil but not behind %d bytes with room for %d: %w", i, len(prefix), room, err)
			}
			if !bytes.HasPrefix(out, []byte(prefix)) {
				return fmt.Errorf("value %d: with room for %d bytes the result is %.100q and does not begin with %q", i, room, out, prefix)
			}
			if len(bytes.Trim(array[:8], "\xa5")) > 0 || len(bytes.Trim(array[end:], "\xa5")) > 0 {
				return fmt.Errorf("value %d: with room for %d bytes, bytes outside dst and its capacity were written", i, room)
			}
			if err := s.decodesTo(bytes.Clone(out[len(prefix):]), i); err != nil {
				return fmt.Errorf("with room for %d bytes: %w", room, err)
			}
		}
	}
	return nil
}

// aliasesValue overwrites every encoding and encodes again. If an encoding shared memory with its value, the second
// encoding would be wrong. The overwritten bytes must stay as they are, because the bytes belong to the caller.
func (s *suite[T]) aliasesValue() error {
	encode := func() (outs [][]byte, err error) {
		for i, v := range s.values {
			out, err := s.codec.AppendEncode(nil, v)
			if err != nil {
				return nil, fmt.Errorf("value %d: %w", i, err)
			}
			outs = append(outs, out)
		}
		return outs, nil
	}
	first, err := encode()
	if err != nil {
		return err
	}
	for _, out := range first {
		for j := range out {
			out[j] = 0xA5
		}
	}
	second, err := encode()
	if err != nil {
		return err
	}
	for i := range second {
		if len(bytes.Trim(first[i], "\xa5")) > 0 {
			return fmt.Errorf("value %d: the memory of its encoding was used again", i)
		}
		if s.writeOnly && len(second[i]) != len(s.encoded[i]) {
			return fmt.Errorf("value %d: its encoding has another length after the first one was overwritten", i)
		}
		if err := s.decodesTo(second[i], i); err != nil {
			return fmt.Errorf("after an encoding was overwritten: %w", err)
		}
	}
	return nil
}

// concurrent encodes and decodes all values from several goroutines, inside or outside a synctest bubble.
func (s *suite[T]) concurrent() error {
	const goroutines = 4
	rounds := max(1, min(20, 4<<20/max(1, len(bytes.Join(s.encoded, nil)))/goroutines))
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	for g := range goroutines {
		wg.Go(func() {
			var buf []byte
			for k := range rounds * len(s.values) {
				i := (k + g) % len(s.values)
				out, err := s.codec.AppendEncode(buf[:0], s.values[i])
				if err == nil {
					err = s.decodesTo(bytes.Clone(out), i)
				}
				if err != nil {
					errs[g] = fmt.Errorf("beside %d other goroutines: %w", goroutines-1, err)
					return
				}
				buf = out
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
