package owned_test

import (
	"testing"

	"github.com/headrace/headrace/internal/owned"
)

func TestAppendReturnsMemoryOfDstOrNewMemory(t *testing.T) {
	foreign := append(make([]byte, 0, 64), "prefix and more"...)
	for name, dst := range map[string][]byte{
		"nil":     nil,
		"no room": []byte("prefix"),
		"room":    append(make([]byte, 0, 64), "prefix"...),
		"empty":   make([]byte, 0, 64),
	} {
		out, ok := owned.Append(dst, foreign)
		if !ok || string(out) != "prefix and more" {
			t.Errorf("%s: %q, %v", name, out, ok)
		}
		clear(out[:cap(out)])
		if string(foreign) != "prefix and more" {
			t.Fatalf("%s: the result lies in the memory of another", name)
		}
	}
}

func TestAppendKeepsWhatWasAppendedInPlace(t *testing.T) {
	dst := append(make([]byte, 0, 64), "prefix"...)
	out, ok := owned.Append(dst, append(dst, " and more"...))
	if !ok || string(out) != "prefix and more" || &out[0] != &dst[0] || cap(out) != cap(dst) {
		t.Errorf("%q, %v", out, ok)
	}
	empty := make([]byte, 0, 8)
	if out, ok := owned.Append(empty, nil); !ok || cap(out) != 8 {
		t.Errorf("the memory of dst got lost when nothing was appended: capacity %d, %v", cap(out), ok)
	}
}

func TestAppendRefusesWhatDoesNotBeginWithDst(t *testing.T) {
	for _, out := range []string{"", "pre", "other and more"} {
		if got, ok := owned.Append([]byte("prefix"), []byte(out)); ok || string(got) != "prefix" {
			t.Errorf("%q: %q, %v", out, got, ok)
		}
	}
}

// An encoder may need a byte more than its result has. JSON writes a newline behind each value and cuts the newline off.
func TestAppendLeavesRoomForTheNextEncodingOfTheSameSize(t *testing.T) {
	encode := func(dst, value []byte) []byte {
		out := append(dst, value...)
		return append(out, '\n')[:len(out)]
	}
	for n := 32; n < 5_000; n++ {
		var dst []byte
		for _, size := range []int{n - 16, n - 1, n} { // the memory of smaller encodings is used again
			value := make([]byte, size)
			dst, _ = owned.Append(dst[:0], encode(dst[:0], value))
			if again := encode(dst[:0], value); &again[0] != &dst[0] {
				t.Fatalf("an encoding of %d bytes does not fit into memory of %d bytes that held the same encoding before", size, cap(dst))
			}
		}
	}
}
