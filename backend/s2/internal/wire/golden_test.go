package wire

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is a time of so many milliseconds.
func at(ms int64) time.Time { return time.UnixMilli(ms) }

func TestAppendInputHasTheReferenceBytes(t *testing.T) {
	zero, empty := uint64(0), ""
	for _, c := range []struct {
		name string
		rec  backend.Record
		cond Condition
		want string
	}{
		{"explicit zeros", backend.Record{Time: at(0), Headers: backend.Headers{{Name: "k", Value: []byte("v")}}, Value: []byte("hi")},
			Condition{&zero, &empty}, "0a 0e 08 00 12 06 0a 01 6b 12 01 76 1a 02 68 69 10 00 1a 00"},
		{"body alone", backend.Record{Value: []byte("hi")}, Condition{}, "0a 04 1a 02 68 69"},
		{"empty", backend.Record{}, Condition{}, "0a 00"},
		{"fence", backend.Record{Headers: backend.Headers{{Value: []byte("fence")}}, Value: []byte("tok")}, Condition{},
			"0a 0e 12 07 12 05 66 65 6e 63 65 1a 03 74 6f 6b"},
		{"trim", backend.Record{Headers: backend.Headers{{Value: []byte("trim")}}, Value: []byte{0, 0, 0, 0, 0, 0, 0, 5}}, Condition{},
			"0a 12 12 06 12 04 74 72 69 6d 1a 08 00 00 00 00 00 00 00 05"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := AppendInput(nil, []backend.Record{c.rec}, c.cond)
			if want := unhex(t, c.want); !bytes.Equal(got, want) {
				t.Errorf("encoded\n% x, want\n% x", got, want)
			}
			if n := SizeRecord(&c.rec) + c.cond.Size(); n != len(got) {
				t.Errorf("size %d, the encoding has %d bytes", n, len(got))
			}
		})
	}
}

func TestDecodeAckReadsTheReferenceBytes(t *testing.T) {
	got, err := DecodeAck(unhex(t, "0a 00 12 05 08 01 10 ac 02 1a 05 08 02 10 ad 02"))
	want := Ack{End: Position{1, 300}, Tail: Position{2, 301}}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	// An absent start is zero; a position given twice is merged; what is unknown is skipped.
	got, err = DecodeAck(unhex(t, "12 02 08 01 12 03 10 ac 02 1a 05 08 02 10 ad 02 20 07 2a 01 ff"))
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestDecodeReadsTheReferenceBytes(t *testing.T) {
	var d Decoder
	b, err := d.Decode(unhex(t, "0a 11 08 01 10 ac 02 1a 06 0a 01 6b 12 01 76 22 02 68 69"))
	if err != nil || len(b.Records) != 1 || b.HasTail {
		t.Fatalf("%+v, %v", b, err)
	}
	r := b.Records[0]
	if b.Seq(0) != 1 || !r.Time.Equal(at(300)) || string(r.Value) != "hi" || len(r.Headers) != 1 ||
		r.Headers[0].Name != "k" || string(r.Headers[0].Value) != "v" {
		t.Errorf("seq %d, %+v", b.Seq(0), r)
	}
	for _, c := range []struct {
		name, in string
		tail     Position
		has      bool
	}{
		{"heartbeat", "12 06 08 96 01 10 ac 02", Position{150, 300}, true},
		{"heartbeat of an empty stream", "12 00", Position{}, true},
		{"nothing", "", Position{}, false},
	} {
		if b, err := d.Decode(unhex(t, c.in)); err != nil || len(b.Records) != 0 || b.HasTail != c.has || b.Tail != c.tail {
			t.Errorf("%s: %+v, %v", c.name, b, err)
		}
	}
}

func TestDecodeRefusesWhatTheProtocolForbids(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"cut in a tag", []byte{0x8a}, "cut short"},
		{"cut in a length", []byte{0x0a, 0x80}, "cut short"},
		{"cut in a record", []byte{0x0a, 4, 0x22, 2, 'h'}, "cut short"},
		{"cut in a header", []byte{0x0a, 4, 0x1a, 2, 0x0a, 1}, "cut short"},
		{"field 0", []byte{0x02, 0}, "field number"},
		{"a group", []byte{0x0b, 0x0c}, "wire type"},
		{"a varint of 11 bytes", []byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "cut short"},
		{"1001 records", readBatch(t, make([]backend.Record, 1001)), "more than 1000"},
		{"the same place twice", []byte{0x0a, 2, 8, 5, 0x0a, 2, 8, 5}, "5 behind 5"},
		{"going backwards", []byte{0x0a, 2, 8, 5, 0x0a, 2, 8, 4}, "4 behind 5"},
		{"the last sequence number of all", append([]byte{0x0a, 11, 8}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), "no successor"},
	} {
		var d Decoder
		if b, err := d.Decode(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v, want an error with %q", c.name, b, err, c.want)
		}
	}
}

func TestSequenceNumbersWithGapsAndBeyondFloats(t *testing.T) {
	var d Decoder
	b, err := d.Decode(unhex(t, "0a 02 08 03 0a 02 08 04 0a 02 08 07 0a 02 08 08"))
	if err != nil || len(b.Records) != 4 {
		t.Fatalf("%+v, %v", b, err)
	}
	for i, want := range []uint64{3, 4, 7, 8} {
		if b.Seq(i) != want {
			t.Errorf("record %d is at %d, want %d", i, b.Seq(i), want)
		}
	}
	// 2^53+1 is the first that a float64 cannot hold.
	b, err = d.Decode(unhex(t, "0a 09 08 81 80 80 80 80 80 80 10"))
	if err != nil || b.Seq(0) != 1<<53+1 {
		t.Errorf("at %d, %v, want %d", b.Seq(0), err, uint64(1<<53+1))
	}
	if got := Time(math.MaxUint64).UnixMilli(); got != math.MaxInt64 {
		t.Errorf("the largest timestamp is %d", got)
	}
}

func TestOneAllocationABatch(t *testing.T) {
	recs := make([]backend.Record, 500)
	for i := range recs {
		recs[i] = backend.Record{Value: []byte("value"), Headers: backend.Headers{{Name: "kind", Value: []byte("order")}}}
	}
	buf := make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(20, func() { buf = AppendInput(buf[:0], recs, Condition{}) }); n != 0 {
		t.Errorf("encoding a batch takes %v allocations", n)
	}
	in := readBatch(t, recs)
	var d Decoder
	if n := testing.AllocsPerRun(20, func() {
		if _, err := d.Decode(in); err != nil {
			t.Fatal(err)
		}
	}); n > 2 { // the records and their headers
		t.Errorf("decoding a batch takes %v allocations", n)
	}
}
