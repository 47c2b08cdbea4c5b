package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// roundTrip encodes recs as the blocks of seq first and decodes all of them.
func roundTrip(t *testing.T, recs []backend.Record, first uint64) (got []backend.Record, b blocks) {
	t.Helper()
	b = encode(recs, 1000)
	seq := first
	for i, n := range b.counts {
		latest := b.seal(i, seq, 0)
		if blockLatest(b.data[i]) != latest {
			t.Fatalf("latest is %d, want %d", blockLatest(b.data[i]), latest)
		}
		var err error
		if got, err = decode(got, b.data[i], seq, seq, 1<<30); err != nil {
			t.Fatal(err)
		}
		seq += uint64(n)
	}
	return got, b
}

func TestBlocks(t *testing.T) {
	at := func(ns int64) time.Time { return time.Unix(0, ns).UTC() }
	big := bytes.Repeat([]byte("x"), 3*blockBytes)
	recs := []backend.Record{
		{Value: []byte("a"), Time: at(5)},
		{Value: big, Time: at(-1 << 63)},
		{Value: []byte{}, Time: at(1<<63 - 1), Headers: backend.Headers{{Name: "n", Value: []byte("v")}, {Name: "n", Value: []byte{}}}},
		{Value: []byte("b"), Time: at(7), Headers: backend.Headers{{Name: "n", Value: []byte("w")}, {Name: "other", Value: []byte("x")}}},
	}
	got, b := roundTrip(t, recs, 17)
	for i := range got {
		got[i].Offset, got[i].Next = "", ""
	}
	if !reflect.DeepEqual(got, recs) {
		t.Fatalf("got %v", got)
	}
	if len(b.data) != 3 || b.counts[1] != 1 {
		t.Fatalf("blocks of %v records, want the large one by itself", b.counts)
	}
	if got, _ := roundTrip(t, []backend.Record{{Value: []byte("now")}}, 0); !got[0].Time.Equal(at(1000)) {
		t.Fatalf("a record without a time has %v", got[0].Time)
	}
}

// Full blocks stay within their size, or bbolt spends a page more on each pair.
func TestBlocksAreFull(t *testing.T) {
	recs := make([]backend.Record, 1000)
	for i := range recs {
		recs[i].Value = make([]byte, 100)
	}
	b := encode(recs, time.Now().UnixNano())
	for i, data := range b.data {
		if len(data) > blockBytes || i < len(b.data)-1 && len(data) < blockBytes-150 {
			t.Errorf("block %d has %d bytes, want about %d", i, len(data), blockBytes)
		}
	}
}

func TestDecodePart(t *testing.T) {
	recs := []backend.Record{{Value: []byte("0")}, {Value: []byte("1")}, {Value: []byte("2")}, {Value: []byte("3")}}
	b := encode(recs, 0)
	b.seal(0, 10, 0)
	got, err := decode(nil, b.data[0], 10, 11, 2)
	if err != nil || len(got) != 2 || string(got[0].Value) != "1" || string(got[1].Value) != "2" {
		t.Fatalf("%v, %v", got, err)
	}
}

// Any changed byte is noticed, and a block under another key too.
func TestCorruptBlock(t *testing.T) {
	b := encode([]backend.Record{{Value: []byte("value"), Headers: backend.Headers{{Name: "n"}}}, {Value: []byte("w")}}, 5)
	b.seal(0, 3, 0)
	for i := range b.data[0] {
		data := bytes.Clone(b.data[0])
		data[i] ^= 0x10
		if _, err := decode(nil, data, 3, 3, 10); !errors.Is(err, errCorrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for n := range b.data[0] {
		if _, err := decode(nil, b.data[0][:n], 3, 3, 10); !errors.Is(err, errCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := decode(nil, b.data[0], 4, 4, 10); !errors.Is(err, errCorrupt) {
		t.Fatalf("under another key: %v", err)
	}
}

// FuzzDecodeBlock puts the right checksum under any bytes, so that what is behind it is reached.
func FuzzDecodeBlock(f *testing.F) {
	b := encode([]backend.Record{
		{Value: []byte("value")},
		{Value: []byte("w"), Headers: backend.Headers{{Name: "name", Value: []byte("v")}, {Name: "", Value: nil}}},
		{Time: time.Unix(-1, 0)},
	}, 12345)
	f.Add(b.data[0], uint64(0))
	f.Add([]byte{blockVersion, 1, 0, 0}, uint64(9))
	f.Add([]byte{blockVersion, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}, uint64(1))
	f.Add([]byte{blockVersion, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint64(1))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, first uint64) {
		_, _ = decode(nil, data, first, first, 1000) // with whatever checksum it has
		data = append(bytes.Clone(data), make([]byte, trailerBytes)...)
		body, trailer := data[:len(data)-trailerBytes], data[len(data)-trailerBytes:]
		binary.LittleEndian.PutUint32(trailer[8:], checksum(body, trailer[:8], first))
		recs, err := decode(nil, data, first, first, 1<<30)
		if err != nil {
			if !errors.Is(err, errCorrupt) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		if n, err := blockCount(data); err != nil || n != uint64(len(recs)) {
			t.Fatalf("%d records, the head says %d, %v", len(recs), n, err)
		}
		// What was decoded can be stored again.
		again, _ := roundTrip(t, recs, first)
		if !reflect.DeepEqual(again, recs) {
			t.Fatalf("%v became %v", recs, again)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	s := streamState{latest: -5}
	s.Head, s.Tail, s.Closed, s.ContentType = 3, 9, true, "application/json"
	f.Add(s.encode())
	s.Incarnation = streamlog.NewIncarnation()
	f.Add(s.encode())
	f.Add((&streamState{}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeState(data)
		if err != nil {
			if !errors.Is(err, errCorruptState) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		if !bytes.Equal(s.encode(), data) {
			t.Fatalf("%+v has another encoding", s)
		}
	})
}
