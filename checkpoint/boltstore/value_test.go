package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/internal/ahead"
)

var valueSeeds = []checkpoint.Checkpoint{
	{Epoch: 1},
	{Offset: "4711", Epoch: 3},
	{Offset: "7", Epoch: 3, Ahead: ahead.Encode("7", []ahead.Run{{From: 1, To: 300, Mark: 5}})},
	{Offset: "\x00\xff☃", Epoch: math.MaxInt64},
}

// TestValueNoticesDamage: every cut, every flipped bit, and another key's value.
func TestValueNoticesDamage(t *testing.T) {
	for _, cp := range valueSeeds {
		value := encode("k", cp)
		if got, err := decode("k", value); err != nil || got != cp {
			t.Errorf("%v came back as %v, %v", cp, got, err)
		}
		if got, err := decode("j", value); err == nil {
			t.Errorf("under another key it was read as %v", got)
		}
		for n := range value {
			if got, err := decode("k", value[:n]); err == nil {
				t.Errorf("the first %d of %d bytes were read as %v", n, len(value), got)
			}
			for bit := range 8 {
				value[n] ^= 1 << bit
				if got, err := decode("k", value); err == nil {
					t.Errorf("with bit %d of byte %d flipped it was read as %v", bit, n, got)
				}
				value[n] ^= 1 << bit
			}
		}
	}
}

// TestValueTrustsNoChecksum: an epoch that no claim gives is refused although the sum is right.
func TestValueTrustsNoChecksum(t *testing.T) {
	for _, epoch := range []uint64{0, math.MaxInt64 + 1, math.MaxUint64} {
		value := encode("k", checkpoint.Checkpoint{Offset: "1", Epoch: epoch})
		if got, err := decode("k", value); err == nil || errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("epoch %d was read as %v, %v", epoch, got, err)
		}
	}
}

// old is a value as the version before wrote it.
func old(key, offset string) []byte {
	b := append([]byte{withoutAhead, 0, 0, 0, 0, 0, 0, 0, 3}, offset...)
	return binary.BigEndian.AppendUint32(b, checksum(key, b))
}

// TestValueOfTheVersionBeforeIsRead: its checkpoint has no list of done records.
func TestValueOfTheVersionBeforeIsRead(t *testing.T) {
	if cp, err := decode("k", old("k", "4711")); err != nil || cp != (checkpoint.Checkpoint{Offset: "4711", Epoch: 3}) {
		t.Errorf("%v, %v", cp, err)
	}
}

// TestValueWithADamagedListIsRefused: also where its checksum is right.
func TestValueWithADamagedListIsRefused(t *testing.T) {
	for _, cp := range []checkpoint.Checkpoint{{Offset: "1", Epoch: 1, Ahead: "damaged"}, {Offset: "1", Epoch: 1, Ahead: "x"}} {
		if got, err := decode("k", encode("k", cp)); err == nil {
			t.Errorf("%v was read", got)
		}
	}
	long := encode("k", checkpoint.Checkpoint{Offset: "1", Epoch: 1})
	long[lengthAt] = 1
	long = long[:len(long)-checksumBytes]
	if got, err := decode("k", binary.BigEndian.AppendUint32(long, checksum("k", long))); err == nil {
		t.Errorf("an offset that is longer than the value: %v", got)
	}
}

// FuzzValue: nothing makes the decoder panic, what it takes it writes the same again, and what it refuses is damage or
// another version. The sum is put right when sum is true, to get behind it.
func FuzzValue(f *testing.F) {
	for _, cp := range valueSeeds {
		value := encode("k", cp)
		f.Add("k", value, false)
		f.Add("j", value[:len(value)-checksumBytes], true)
	}
	f.Add("", []byte(nil), false)
	f.Add("k", []byte{3}, false)
	f.Add("k", old("k", "1"), false)
	f.Add("k", make([]byte, offsetAt), true)
	f.Fuzz(func(t *testing.T, key string, value []byte, sum bool) {
		if sum {
			c := checksum(key, value)
			value = append(bytes.Clone(value), byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
		}
		cp, err := decode(key, value)
		switch {
		case err == nil && value[0] == valueVersion && !bytes.Equal(encode(key, cp), value):
			t.Errorf("%x was read as %v, which is %x", value, cp, encode(key, cp))
		case err != nil && cp != (checkpoint.Checkpoint{}):
			t.Errorf("%v beside %v", cp, err)
		case errors.Is(err, backend.ErrUnsupported) && value[0] == valueVersion:
			t.Errorf("its own version is not supported: %v", err)
		}
	})
}
