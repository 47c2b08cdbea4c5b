package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/codec"
)

// Run checks c against the contract of [codec.Codec]. The caller gives at least one value, and c must be able to encode
// every value. Choose extreme values of T: empty, large, every kind of field.
//
// If T has a method Equal(T) bool, Run compares values with Equal. Otherwise Run uses bytes.Equal for []byte and
// reflect.DeepEqual for other types; see [RunFunc]. A codec whose Decode fails with [errors.ErrUnsupported] is
// write-only, and Run skips the checks that decode.
func Run[T any](t *testing.T, c codec.Codec[T], values ...T) {
	t.Helper()
	RunFunc(t, c, equal[T], values...)
}

// RunFunc is [Run] with another comparison, such as proto.Equal. Several goroutines call equal at the same time.
func RunFunc[T any](t *testing.T, c codec.Codec[T], equal func(a, b T) bool, values ...T) {
	t.Helper()
	s, err := newSuite(c, equal, values)
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct {
		name    string
		decodes bool
		run     func() error
	}{
		{"format", false, s.format},
		{"append", false, s.appends},
		{"owner of the encoding", false, s.owner},
		{"aliasing of the value", false, s.aliasesValue},
		{"view", false, s.view},
		{"round trip", true, s.roundTrip},
		{"into", true, s.into},
		{"into, cut short", true, s.intoCut},
		{"source", true, s.source},
		{"aliasing of the source", true, s.aliasesSource},
		{"independence", true, s.independence},
		{"mutated", true, s.mutated},
		{"concurrent", false, s.concurrent},
	} {
		t.Run(check.name, func(t *testing.T) {
			if check.decodes && s.writeOnly {
				t.Skip("the codec is write-only")
			}
			if err := check.run(); err != nil {
				t.Error(err)
			}
		})
	}
	// The checks above have used pools, channels and lazily made state outside a bubble. If the codec ties such state to
	// the place of its first use, the codec panics in the bubble. If the codec hands state from the bubble to the outside,
	// the second call panics.
	t.Run("bubble", func(t *testing.T) {
		var inside error
		synctest.Test(t, func(*testing.T) { inside = s.concurrent() })
		if err := errors.Join(inside, s.concurrent()); err != nil {
			t.Error(err)
		}
	})
}

// Refuses checks that c refuses to encode each of the values, and returns dst unchanged: the same length, capacity,
// memory and bytes.
func Refuses[T any](t *testing.T, c codec.Codec[T], values ...T) {
	t.Helper()
	if len(values) == 0 {
		t.Fatal("codectest: no values to refuse")
	}
	for i, v := range values {
		if err := refuses(c, v); err != nil {
			t.Errorf("value %d: %v", i, err)
		}
	}
}

// refuses checks one value with a dst without memory, a full dst, and a dst with room.
func refuses[T any](c codec.Codec[T], v T) error {
	for _, dst := range [][]byte{nil, []byte("exact"), append(make([]byte, 0, 4096), "room"...)} {
		before := string(dst)
		out, err := c.AppendEncode(dst, v)
		switch {
		case err == nil:
			return fmt.Errorf("encoded as %.100q, want an error", out)
		case string(out) != before:
			return fmt.Errorf("on an error dst is %.100q, was %q", out, before)
		case cap(out) != cap(dst) || (cap(dst) > 0 && &out[:1][0] != &dst[:1][0]):
			return errors.New("on an error the codec returns other memory than dst")
		}
	}
	return nil
}

func equal[T any](a, b T) bool {
	if x, ok := any(a).([]byte); ok {
		return bytes.Equal(x, any(b).([]byte)) // a record cannot distinguish nil from empty
	}
	if e, ok := any(a).(interface{ Equal(T) bool }); ok {
		if v := reflect.ValueOf(a); v.Kind() != reflect.Pointer || !v.IsNil() {
			return e.Equal(b)
		}
	}
	return reflect.DeepEqual(a, b)
}
