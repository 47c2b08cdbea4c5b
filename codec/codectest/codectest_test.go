package codectest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/headrace/headrace/codec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A broken codec does one thing wrong.
type broken struct {
	encode func(dst []byte, v string) ([]byte, error)
	raw    func(dst, v []byte) ([]byte, error) // in place of encode
	decode func(src []byte) ([]byte, error)
	format func() codec.Format
}

func (b broken) Format() codec.Format {
	if b.format != nil {
		return b.format()
	}
	return codec.Format{ContentType: "text/plain"}
}

func (b broken) AppendEncode(dst, v []byte) ([]byte, error) {
	if b.raw != nil {
		return b.raw(dst, v)
	}
	if b.encode != nil {
		return b.encode(dst, string(v))
	}
	return append(append(dst, ':'), v...), nil
}

func (b broken) Decode(src []byte) ([]byte, error) {
	if b.decode != nil {
		return b.decode(src)
	}
	return decodeColon(src)
}

func decodeColon(src []byte) ([]byte, error) {
	if len(src) == 0 || src[0] != ':' {
		return nil, errors.New("no colon")
	}
	return bytes.Clone(src[1:]), nil
}

var errBroken = errors.New("broken")

// Each fault is found, and found by the check that is for it.
func TestFaultsAreFound(t *testing.T) {
	var calls int
	var mu sync.Mutex
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		calls++
		return calls
	}
	var scratch [64]byte
	side := make([]byte, 0, 1<<10)
	for _, c := range []struct {
		name  string
		codec broken
		check func(*suite[[]byte]) error
		want  string
	}{
		{"format changes", broken{format: func() codec.Format { return codec.Format{ContentType: fmt.Sprintf("text/p%d", count())} }},
			(*suite[[]byte]).format, "the format was"},
		{"no media type", broken{format: func() codec.Format { return codec.Format{ContentType: "a b/c"} }},
			(*suite[[]byte]).format, "content type"},
		{"does not append", broken{encode: func(_ []byte, v string) ([]byte, error) { return []byte(":" + v), nil }},
			(*suite[[]byte]).appends, "does not begin with"},
		{"writes beyond capacity", broken{encode: func(dst []byte, v string) ([]byte, error) {
			if len(dst) > 0 {
				*byteAfter(dst) = 0
			}
			return append(append(dst, ':'), v...), nil
		}}, (*suite[[]byte]).appends, "outside dst"},
		{"fails with a prefix", broken{encode: func(dst []byte, v string) ([]byte, error) {
			if len(dst) > 0 {
				return dst, errBroken
			}
			return append([]byte(":"), v...), nil
		}}, (*suite[[]byte]).appends, "but not behind"},
		{"returns the value", broken{raw: func(dst, v []byte) ([]byte, error) {
			if len(dst) == 0 {
				return v, nil
			}
			return append(dst, v...), nil
		}, decode: func(src []byte) ([]byte, error) { return bytes.Clone(src), nil }}, (*suite[[]byte]).owner, "memory of the value"},
		{"returns the value, and only encodes", broken{raw: func(dst, v []byte) ([]byte, error) {
			if len(dst) == 0 {
				return v, nil
			}
			return append(dst, v...), nil
		}, decode: func([]byte) ([]byte, error) { return nil, errors.ErrUnsupported }}, (*suite[[]byte]).owner, "memory of the value"},
		{"encodings side by side in one array", broken{encode: func(dst []byte, v string) ([]byte, error) {
			if len(dst) > 0 {
				return append(append(dst, ':'), v...), nil
			}
			side = append(append(side, ':'), v...)
			return side[len(side)-len(v)-1:], nil
		}}, (*suite[[]byte]).owner, "share memory"},
		{"one buffer for all encodings", broken{encode: func(dst []byte, v string) ([]byte, error) {
			if dst == nil {
				return append(append(scratch[:0], ':'), v...), nil
			}
			return append(append(dst, ':'), v...), nil
		}}, (*suite[[]byte]).aliasesValue, "used again"},
		{"decodes to something else", broken{decode: func(src []byte) ([]byte, error) { return bytes.ToUpper(src[1:]), nil }},
			(*suite[[]byte]).roundTrip, "decodes to"},
		{"does not decode its own", broken{decode: func([]byte) ([]byte, error) { return nil, errBroken }},
			(*suite[[]byte]).roundTrip, "broken"},
		{"decodes in place", broken{decode: func(src []byte) ([]byte, error) {
			v, err := decodeColon(src)
			clear(src)
			return v, err
		}}, (*suite[[]byte]).source, "changed src"},
		{"lends the next record", broken{decode: func(src []byte) ([]byte, error) { return src[1:], nil }},
			(*suite[[]byte]).aliasesSource, "beyond src"},
		{"one buffer for all values", broken{decode: func(src []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			return scratch[:copy(scratch[:], src[1:])], nil
		}}, (*suite[[]byte]).independence, "became"},
		{"panics on a short record", broken{decode: func(src []byte) ([]byte, error) { return bytes.Clone(src[1:]), nil }},
			(*suite[[]byte]).mutated, "panics"},
		{"changes src of a broken record", broken{decode: func(src []byte) ([]byte, error) {
			if len(src) > 0 {
				src[0]++
			}
			return nil, errBroken
		}}, (*suite[[]byte]).mutated, "changed src"},
		{"fails now and then", broken{encode: func(dst []byte, v string) ([]byte, error) {
			if count()%7 == 0 {
				return dst, errBroken
			}
			return append(append(dst, ':'), v...), nil
		}}, (*suite[[]byte]).concurrent, "broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls = 0
			s, err := newSuite[[]byte](c.codec, equal, [][]byte{[]byte("alpha"), []byte("beta"), []byte("gamma gamma")})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.check(s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the check says %v, want %q", err, c.want)
			}
		})
	}
}

// byteAfter is what code with a wrong pointer writes to: the byte behind the capacity of b. The suite keeps some of its
// own there.
func byteAfter(b []byte) *byte {
	return (*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), cap(b)))
}

func TestRefusesFindsFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		encode func(dst []byte, v string) ([]byte, error)
		want   string
	}{
		{"takes it", func(dst []byte, v string) ([]byte, error) { return dst, nil }, "want an error"},
		{"returns nil", func(dst []byte, v string) ([]byte, error) { return nil, errBroken }, "on an error dst is"},
		{"returns half", func(dst []byte, v string) ([]byte, error) { return append(dst, "ha"...), errBroken }, "on an error dst is"},
		{"returns a copy", func(dst []byte, v string) ([]byte, error) { return bytes.Clone(dst), errBroken }, "other memory"},
		{"overwrites", func(dst []byte, v string) ([]byte, error) { clear(dst); return dst, errBroken }, "on an error dst is"},
	} {
		if err := refuses[[]byte](broken{encode: c.encode}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the check says %v, want %q", c.name, err, c.want)
		}
	}
	if err := refuses[[]byte](broken{encode: func(dst []byte, v string) ([]byte, error) { return dst, errBroken }}, nil); err != nil {
		t.Errorf("a codec that does it right: %v", err)
	}
}

func TestSuiteNeedsValues(t *testing.T) {
	if _, err := newSuite[[]byte](broken{}, equal, nil); err == nil {
		t.Error("a suite without values")
	}
	failing := broken{encode: func(dst []byte, v string) ([]byte, error) { return dst, errBroken }}
	if _, err := newSuite[[]byte](failing, equal, [][]byte{nil}); !errors.Is(err, errBroken) {
		t.Errorf("a value that does not encode: %v", err)
	}
}

// equal must not mistake one instant in two places for two, nor call a method on nil.
func TestEqual(t *testing.T) {
	now := time.Now()
	if !equal(now, now.Round(0).UTC()) || equal(now, now.Add(1)) {
		t.Error("times are not compared by Equal")
	}
	if !equal[*counter](nil, nil) || equal(nil, &counter{}) {
		t.Error("nil pointers")
	}
	if equal([]byte{1}, []byte{2}) || !equal([]byte{1}, []byte{1}) {
		t.Error("slices")
	}
}

type counter struct{ n int }

func (c *counter) Equal(d *counter) bool { return c.n == d.n }

func TestRunItself(t *testing.T) {
	Run[[]byte](t, broken{}, []byte("alpha"), []byte{}, bytes.Repeat([]byte("beta"), 10_000))
	t.Run("write-only", func(t *testing.T) {
		Run(t, codec.Func("text/plain", func(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }, nil), "a", "bb")
	})
	t.Run("with an equality", func(t *testing.T) {
		enc := func(dst []byte, v float64) ([]byte, error) { return fmt.Appendf(dst, "%.1f", v), nil }
		dec := func(src []byte) (v float64, err error) { return v, json.Unmarshal(src, &v) }
		near := func(a, b float64) bool { return a-b < 0.1 && b-a < 0.1 }
		RunFunc(t, codec.Func("text/plain", enc, dec), near, 1.23, 4.56)
	})
}
