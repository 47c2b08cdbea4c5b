package codectest

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"unsafe"
)

// source checks that decoding does not write to src, even when decoding fails.
func (s *suite[T]) source() error {
	for i, b := range s.encoded {
		for _, src := range [][]byte{bytes.Clone(b), bytes.Clone(b[:len(b)/2]), append(bytes.Clone(b), "garbage"...)} {
			before := bytes.Clone(src)
			_, _ = s.codec.Decode(src)
			if !bytes.Equal(src, before) {
				return fmt.Errorf("value %d: decoding changed src from %.100q to %.100q", i, before, src)
			}
		}
	}
	return nil
}

// aliasesSource decodes from the middle of a buffer, because the records of a batch lie one behind another. A value may
// point into its record. But if a slice of the value has the next record as its spare capacity, an append to the slice would
// destroy the next record.
func (s *suite[T]) aliasesSource() error {
	for i, b := range s.encoded {
		batch := append(bytes.Clone(b), "the next record"...)
		v, err := s.codec.Decode(batch[:len(b)])
		if err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
		lo := uintptr(unsafe.Pointer(unsafe.SliceData(batch)))
		if overhangs(reflect.ValueOf(&v), lo+uintptr(len(b)), lo+uintptr(cap(batch)), map[visit]bool{}) {
			return fmt.Errorf("value %d: a slice in it reaches beyond src: appending to it would overwrite the next record", i)
		}
	}
	return nil
}

// A visit is a place where overhangs has been already. Without visits, overhangs would not return on a cyclic value.
type visit struct {
	p unsafe.Pointer
	t reflect.Type
}

// overhangs reports whether any []byte in v has capacity between end, where the record ends, and limit, where the
// buffer of the record ends.
func overhangs(v reflect.Value, end, limit uintptr, seen map[visit]bool) bool {
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			capEnd := uintptr(v.UnsafePointer()) + uintptr(v.Cap())
			return v.Cap() > 0 && capEnd > end && capEnd <= limit
		}
		fallthrough
	case reflect.Pointer:
		at := visit{v.UnsafePointer(), v.Type()}
		if v.IsNil() || seen[at] {
			return false
		}
		seen[at] = true
	}
	for inner := range parts(v) {
		if overhangs(inner, end, limit, seen) {
			return true
		}
	}
	return false
}

// parts yields the values directly inside v: fields, elements, or the target of a pointer.
func parts(v reflect.Value) iter.Seq[reflect.Value] {
	return func(yield func(reflect.Value) bool) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				yield(v.Elem())
			}
		case reflect.Struct:
			for i := 0; i < v.NumField() && yield(v.Field(i)); i++ {
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next() && yield(it.Value()); {
			}
		case reflect.Array, reflect.Slice:
			for i := 0; i < v.Len() && yield(v.Index(i)); i++ {
			}
		}
	}
}

// independence decodes all records twice, and compares afterwards. So independence finds a value whose memory the next
// Decode uses again.
func (s *suite[T]) independence() error {
	decoded := make([]T, 0, 2*len(s.encoded))
	for range 2 {
		for i, b := range s.encoded {
			v, err := s.codec.Decode(bytes.Clone(b))
			if err != nil {
				return fmt.Errorf("value %d: %w", i, err)
			}
			decoded = append(decoded, v)
		}
	}
	unchanged := func() error {
		for k, v := range decoded {
			if i := k % len(s.encoded); !s.equal(v, s.values[i]) {
				return fmt.Errorf("value %d became %+v while others were decoded, was %+v", i, v, s.values[i])
			}
		}
		return nil
	}
	if err := unchanged(); err != nil {
		return err
	}
	if err := s.concurrent(); err != nil {
		return err
	}
	return unchanged()
}

// mutated decodes records cut short, altered or made up. The suite cannot know whether such a record must fail. mutated
// checks only that decoding never panics, and that every decoded value can be used.
func (s *suite[T]) mutated() error {
	rng := rand.New(rand.NewPCG(1, 2)) // a fixed seed, so that every run decodes the same records
	for _, b := range s.encoded {
		effort := max(8, min(128, 2<<20/max(1, len(b)))) // up to 4 MiB of decoding
		for k := range effort {
			if err := s.survives(b[:k*len(b)/effort]); err != nil {
				return err
			}
			if err := s.survives(mutate(rng, b)); err != nil {
				return err
			}
		}
	}
	for n := range 64 {
		junk := make([]byte, n)
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		if err := s.survives(junk); err != nil {
			return err
		}
	}
	return nil
}

func mutate(rng *rand.Rand, b []byte) []byte {
	m := bytes.Clone(b)
	for range 1 + rng.IntN(4) {
		if len(m) == 0 {
			return []byte{byte(rng.Uint32())}
		}
		i := rng.IntN(len(m))
		switch rng.IntN(5) {
		case 0:
			m[i] ^= 1 << rng.IntN(8)
		case 1:
			m[i] = byte(rng.Uint32())
		case 2:
			m = append(m[:i], m[i+1:]...)
		case 3:
			m = append(m[:i], append([]byte{byte(rng.Uint32())}, m[i:]...)...)
		case 4:
			m = append(m, m[i:]...)
		}
	}
	return m
}

func (s *suite[T]) survives(src []byte) (err error) {
	before := bytes.Clone(src)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding %.200q (%d bytes) panics: %v", before, len(before), p)
		}
	}()
	v, err := s.codec.Decode(src)
	if !bytes.Equal(src, before) {
		return fmt.Errorf("decoding changed src from %.200q to %.200q", before, src)
	}
	if err == nil {
		_, _ = s.codec.AppendEncode(nil, v) // the codec may refuse the value, but must not panic
	}
	return nil
}
