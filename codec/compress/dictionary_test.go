package compress_test

import (
	"bytes"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/compress"
	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"
)

// trained makes a dictionary from events, as zstd --train would.
func trained(t testing.TB, id uint32) []byte {
	t.Helper()
	var samples [][]byte
	for i := range 500 {
		samples = append(samples, mustEncode(t, codec.JSON[event](), sampleEvent(i)))
	}
	d, err := dict.BuildZstdDict(samples, dict.Options{
		MaxDictSize: 8 << 10, HashBytes: 6, ZstdDictID: id, ZstdLevel: zstd.SpeedDefault,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDictionary(t *testing.T) {
	one, two := trained(t, 1), trained(t, 2)
	none := compress.Zstd(codec.JSON[event](), 1<<20)
	old := compress.Zstd(codec.JSON[event](), 1<<20, compress.Dictionary(one))
	rotated := compress.Zstd(codec.JSON[event](), 1<<20, compress.Dictionary(two, one))
	codectest.Run(t, old, sampleEvent(600), event{}, event{Detail: string(text(20_000))})
	codectest.Run(t, rotated, sampleEvent(600))

	e := sampleEvent(700)
	plain := mustEncode(t, codec.JSON[event](), e)
	byNone, byOld, byRotated := mustEncode(t, none, e), mustEncode(t, old, e), mustEncode(t, rotated, e)
	if 3*len(byOld) > 2*len(plain) || 3*len(byOld) > 2*len(byNone) {
		t.Errorf("%d bytes are %d with a dictionary and %d without: it is not used", len(plain), len(byOld), len(byNone))
	}
	for _, c := range []struct {
		name   string
		reader codec.Codec[event]
		record []byte
		ok     bool
	}{
		{"no dictionary needed", rotated, byNone, true},
		{"plain", rotated, plain, true},
		{"current", rotated, byRotated, true},
		{"older", rotated, byOld, true},
		{"newer than the reader's", old, byRotated, false},
		{"reader without one", none, byOld, false},
	} {
		if got, err := c.reader.Decode(c.record); (err == nil) != c.ok || (c.ok && got != e) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
}

// A dictionary counts for nothing against the limit, in either direction.
func TestDictionaryAndLimit(t *testing.T) {
	c := compress.Zstd(codec.Bytes(), 200, compress.Dictionary(trained(t, 1)))
	v := mustEncode(t, codec.JSON[event](), sampleEvent(3))
	v = append(v, bytes.Repeat([]byte(" "), 200-len(v))...)
	got, err := c.Decode(mustEncode(t, c, v))
	wantBytes(t, "at the limit", got, err, v)
	codectest.Refuses(t, c, append(v, ' '))
}
