package codectest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// A brokenInto decodes into dst with one mistake.
type brokenInto struct {
	broken
	into func(dst *[]byte, src []byte) error
}

func (b brokenInto) DecodeInto(dst *[]byte, src []byte) error { return b.into(dst, src) }

func TestFaultsOfDecodeIntoAreFound(t *testing.T) {
	good := func(dst *[]byte, src []byte) (err error) {
		*dst, err = decodeColon(src)
		return err
	}
	var scratch [64]byte
	for _, c := range []struct {
		name  string
		into  func(dst *[]byte, src []byte) error
		check func(*suite[[]byte]) error
		want  string
	}{
		{"decodes to something else", func(dst *[]byte, src []byte) error { *dst = bytes.ToUpper(src[1:]); return nil },
			(*suite[[]byte]).into, "makes"},
		{"one buffer for all values", func(dst *[]byte, src []byte) error { *dst = scratch[:copy(scratch[:], src[1:])]; return nil },
			(*suite[[]byte]).into, "makes"},
		{"refuses its own", func(*[]byte, []byte) error { return errors.New("refused") },
			(*suite[[]byte]).into, "refused"},
		{"takes what Decode refuses", func(*[]byte, []byte) error { return nil },
			(*suite[[]byte]).intoCut, "returns"},
		{"leaves a part", func(dst *[]byte, src []byte) error {
			err := good(dst, src)
			if err != nil {
				*dst = []byte("part")
			}
			return err
		}, (*suite[[]byte]).intoCut, "leaves"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := newSuite(brokenInto{into: c.into}, bytes.Equal, [][]byte{[]byte("one"), []byte("two")})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.check(s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
	s, err := newSuite(brokenInto{into: good}, bytes.Equal, [][]byte{[]byte("one"), []byte("two")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.into(), s.intoCut()); err != nil {
		t.Error("a good codec:", err)
	}
}
