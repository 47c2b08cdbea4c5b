package compress_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/compress"
	"github.com/klauspost/compress/zstd"
)

// trained makes a dictionary from events.
func trained(t testing.TB) []byte {
	t.Helper()
	d, err := compress.Train(samples(t, 500), 8<<10)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// samples returns n encoded events.
func samples(t testing.TB, n int) (all [][]byte) {
	t.Helper()
	for i := range n {
		all = append(all, mustEncode(t, codec.JSON[event](), sampleEvent(i)))
	}
	return all
}

func TestDictionary(t *testing.T) {
	one, two := trained(t), trained(t)
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
	c := compress.Zstd(codec.Bytes(), 200, compress.Dictionary(trained(t)))
	v := mustEncode(t, codec.JSON[event](), sampleEvent(3))
	v = append(v, bytes.Repeat([]byte(" "), 200-len(v))...)
	got, err := c.Decode(mustEncode(t, c, v))
	wantBytes(t, "at the limit", got, err, v)
	codectest.Refuses(t, c, append(v, ' '))
}

func TestADictionaryMakesSmallRecordsMuchSmaller(t *testing.T) {
	c := compress.Zstd(codec.Bytes(), 1<<20, compress.Dictionary(trained(t)))
	plain, packed := 0, 0
	for _, v := range samples(t, 1000)[500:] { // not those that it was trained with
		plain += len(v)
		packed += len(mustEncode(t, c, v))
	}
	if 3*packed > 2*plain {
		t.Errorf("%d bytes became %d", plain, packed)
	}
}

func TestEveryTrainedDictionaryHasAnIDOfItsOwn(t *testing.T) {
	seen := map[uint32]bool{}
	for range 3 {
		info, err := zstd.InspectDictionary(trained(t))
		if err != nil {
			t.Fatal(err)
		}
		if id := info.ID(); seen[id] || id < 1<<15 || id >= 1<<31 {
			t.Errorf("id %d: used before, or reserved", id)
		}
		seen[info.ID()] = true
	}
}

func TestTrainRefusesSamplesThatTeachNothing(t *testing.T) {
	var same, short [][]byte
	for i := range 200 {
		same = append(same, []byte(`{"a":"the same record"}`))
		short = append(short, []byte{byte(i)})
	}
	for _, c := range []struct {
		name    string
		samples [][]byte
		size    int
	}{
		{"none", nil, 8 << 10},
		{"equal ones", same, 8 << 10},
		{"short ones", short, 8 << 10},
		{"no size", samples(t, 500), 0},
		{"a negative size", samples(t, 500), -1},
		{"a size of one byte", samples(t, 500), 1},
	} {
		d, err := compress.Train(c.samples, c.size)
		if err == nil || d != nil || !strings.Contains(err.Error(), fmt.Sprintf("%d samples", len(c.samples))) {
			t.Errorf("%s: %d bytes, %v", c.name, len(d), err)
		}
	}
}

// One large record among the samples is as good as its beginning.
func TestTrainTakesALargeSample(t *testing.T) {
	small, large := samples(t, 500), text(1<<20)
	for _, size := range []int{64, 16 << 10, 1 << 20} {
		d, err := compress.Train(append(small[:500:500], large), size)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		codectest.Run(t, compress.Zstd(codec.JSON[event](), 1<<20, compress.Dictionary(d)), sampleEvent(600))
	}
}
