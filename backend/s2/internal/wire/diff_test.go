package wire

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2pb"
)

// readBatch encodes records from sequence number 0 with the generated types.
func readBatch(t testing.TB, recs []backend.Record) []byte {
	t.Helper()
	m := &s2pb.ReadBatch{}
	for i := range recs {
		r := &s2pb.SequencedRecord{SeqNum: uint64(i), Body: recs[i].Value}
		if HasTime(&recs[i]) {
			r.Timestamp = uint64(recs[i].Time.UnixMilli())
		}
		for _, h := range recs[i].Headers {
			r.Headers = append(r.Headers, &s2pb.Header{Name: []byte(h.Name), Value: h.Value})
		}
		m.Records = append(m.Records, r)
	}
	out, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// input makes records and conditions of every shape out of a seed.
func input(seed uint64) ([]backend.Record, Condition) {
	dice := rand.New(rand.NewPCG(seed, 1))
	some := func(most int) []byte {
		b := make([]byte, []int{0, 1, 127, 128, most}[dice.IntN(5)])
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		return b
	}
	recs := make([]backend.Record, 1+dice.IntN(5))
	for i := range recs {
		r := &recs[i]
		r.Value = some(20_000)
		for range dice.IntN(4) {
			r.Headers = append(r.Headers, backend.Header{Name: string(some(300)), Value: some(300)})
		}
		if dice.IntN(2) == 0 {
			r.Time = time.UnixMilli(dice.Int64() >> dice.IntN(63))
		}
	}
	var c Condition
	if dice.IntN(2) == 0 {
		seq := dice.Uint64() >> dice.IntN(64)
		c.MatchSeqNum = &seq
	}
	if dice.IntN(2) == 0 {
		token := "token-"[:dice.IntN(7)]
		c.FencingToken = &token
	}
	return recs, c
}

func compareInput(t *testing.T, recs []backend.Record, c Condition) {
	t.Helper()
	got := AppendInput(nil, recs, c)
	size := c.Size()
	for i := range recs {
		size += SizeRecord(&recs[i])
	}
	if size != len(got) {
		t.Errorf("size %d, the encoding has %d bytes", size, len(got))
	}
	want := &s2pb.AppendInput{MatchSeqNum: c.MatchSeqNum, FencingToken: c.FencingToken}
	for i := range recs {
		r := &s2pb.AppendRecord{Body: recs[i].Value}
		if HasTime(&recs[i]) {
			r.Timestamp = proto.Uint64(uint64(recs[i].Time.UnixMilli()))
		}
		for _, h := range recs[i].Headers {
			r.Headers = append(r.Headers, &s2pb.Header{Name: []byte(h.Name), Value: h.Value})
		}
		want.Records = append(want.Records, r)
	}
	m := &s2pb.AppendInput{}
	if err := proto.Unmarshal(got, m); err != nil {
		t.Fatalf("the generated types do not take it: %v", err)
	}
	if !proto.Equal(m, want) {
		t.Errorf("encoded %v, want %v", m, want)
	}
}

func TestAppendInputIsWhatTheGeneratedTypesRead(t *testing.T) {
	for seed := range uint64(500) {
		recs, c := input(seed)
		compareInput(t, recs, c)
	}
}

func TestDecodeReadsWhatTheGeneratedTypesWrite(t *testing.T) {
	for seed := range uint64(500) {
		recs, _ := input(seed)
		compareBatch(t, readBatch(t, recs))
	}
}

// stricter are the reasons for which a batch that is well-formed protobuf is refused nevertheless.
func stricter(err error) bool {
	for _, s := range []string{"more than 1000 records", "sequence number", "wire type"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

// compareBatch decodes both ways: the same is accepted, apart from what is stricter here, and means the same.
func compareBatch(t *testing.T, in []byte) {
	t.Helper()
	var d Decoder
	got, err := d.Decode(in)
	want := &s2pb.ReadBatch{}
	werr := proto.Unmarshal(in, want)
	switch {
	case err == nil && werr != nil:
		t.Fatalf("taken, but the generated types say: %v", werr)
	case err != nil && werr == nil && !stricter(err):
		t.Fatalf("the generated types take it: %v", err)
	case err != nil:
		return
	}
	if len(got.Records) != len(want.Records) || got.HasTail != (want.Tail != nil) ||
		got.Tail != (Position{want.GetTail().GetSeqNum(), want.GetTail().GetTimestamp()}) {
		t.Fatalf("%d records, tail %v %v, want %v", len(got.Records), got.HasTail, got.Tail, want)
	}
	for i, w := range want.Records {
		g := &got.Records[i]
		if got.Seq(i) != w.SeqNum || !g.Time.Equal(Time(w.Timestamp)) || !bytes.Equal(g.Value, w.Body) || len(g.Headers) != len(w.Headers) {
			t.Fatalf("record %d is %d %+v, want %v", i, got.Seq(i), g, w)
		}
		for j, h := range w.Headers {
			if g.Headers[j].Name != string(h.Name) || !bytes.Equal(g.Headers[j].Value, h.Value) {
				t.Fatalf("header %d of record %d is %+v, want %v", j, i, g.Headers[j], h)
			}
		}
	}
}

func FuzzAppendInput(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		recs, c := input(seed)
		compareInput(t, recs, c)
	})
}

func FuzzDecode(f *testing.F) {
	for seed := range uint64(8) {
		recs, _ := input(seed)
		f.Add(readBatch(f, recs))
	}
	f.Add(unhex(f, "12 06 08 96 01 10 ac 02"))
	f.Add(unhex(f, "0a 08 08 01 10 ac 02 22 01 68 0a 0b 08 02 10 ac 02 22 04 68 69 22 00")) // usual, and in the body what looks like one
	f.Add(unhex(f, "0a 0b 08 01 10 ac 02 22 81 80 00 68"))                                  // a length of three bytes
	f.Add(unhex(f, "0a 02 08 03 0a 02 08 07"))
	f.Add([]byte{0x0b, 0x0c})
	f.Fuzz(compareBatch)
}

func FuzzDecodeAck(f *testing.F) {
	f.Add(unhex(f, "0a 00 12 05 08 01 10 ac 02 1a 05 08 02 10 ad 02"))
	f.Add(unhex(f, "12 02 08 01 12 03 10 ac 02 20 07"))
	f.Add([]byte{0x0a, 0x80})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := DecodeAck(in)
		want := &s2pb.AppendAck{}
		werr := proto.Unmarshal(in, want)
		if (err == nil) != (werr == nil) {
			if err == nil || !stricter(err) {
				t.Fatalf("%v, the generated types: %v", err, werr)
			}
		}
		if err != nil {
			return
		}
		position := func(p *s2pb.StreamPosition) Position { return Position{p.GetSeqNum(), p.GetTimestamp()} }
		if w := (Ack{position(want.Start), position(want.End), position(want.Tail)}); got != w {
			t.Errorf("%+v, want %+v", got, w)
		}
	})
}
