package ahead

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/headrace/headrace/backend"
)

func TestRunsComeBack(t *testing.T) {
	for _, runs := range [][]Run{
		nil,
		{{From: 1, To: 2, Mark: 7}},
		{{From: 0, To: 300}, {From: 301, To: 302, Mark: 0xffff}, {From: 1 << 40, To: 1<<40 + 1<<30, Mark: 1}},
	} {
		back, err := Decode("4711", Encode("4711", runs))
		if err != nil || !slices.Equal(back, runs) {
			t.Errorf("%v came back as %v, %v", runs, back, err)
		}
	}
}

func TestTextOfAnotherPlaceIsNoticed(t *testing.T) {
	text := Encode("4711", []Run{{From: 1, To: 2}})
	if _, err := Decode("4712", text); !errors.Is(err, ErrOtherPlace) {
		t.Errorf("%v", err)
	}
}

func TestDamagedTextIsRefused(t *testing.T) {
	sound := Encode("1", []Run{{From: 1, To: 2, Mark: 7}})
	for name, text := range map[string]string{
		"too short":             sound[:3],
		"a place alone":         sound[:4],
		"no length":             sound[:5],
		"half a mark":           sound[:7],
		"one byte too many":     sound + "\x01",
		"no record in a run":    sound[:4] + "\x01\x00\x00\x00",
		"two runs without gap":  sound + "\x00\x01\x00\x00",
		"a number without end":  sound[:4] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"a number that is huge": sound[:4] + "\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x00\x00",
		"too long":              string(make([]byte, Bytes+1)),
	} {
		if runs, err := Decode("1", text); err == nil || errors.Is(err, ErrOtherPlace) || runs != nil {
			t.Errorf("%s: %v, %v", name, runs, err)
		}
	}
}

// Runs is a promise: so many runs fit, however long they are within the window.
func TestAllRunsFit(t *testing.T) {
	var runs []Run
	rng := rand.New(rand.NewPCG(1, 1))
	for at := uint64(1); len(runs) < Runs; {
		gap, n := rng.Uint64N(2*8000)+1, rng.Uint64N(2*8000)+1 // 2^24 records together
		runs = append(runs, Run{From: at, To: at + n, Mark: 1})
		at += n + gap
	}
	back, err := Decode("1", Encode("1", runs))
	if err != nil || len(back) != Runs {
		t.Errorf("%d of %d runs came back, %v", len(back), Runs, err)
	}
}

func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	var runs []Run
	for at := uint64(1); at < 20_000; at += 2 {
		runs = append(runs, Run{From: at, To: at + 1, Mark: 1})
	}
	text := Encode("1", runs)
	back, err := Decode("1", text)
	if err != nil || len(text) > Bytes || len(back) < Bytes/4-2 || !reflect.DeepEqual(back, runs[:len(back)]) {
		t.Errorf("%d runs in %d bytes, %v", len(back), len(text), err)
	}
}

// What is decoded can be encoded and decoded again, and no text makes the decoder panic or use much memory.
func FuzzDecode(f *testing.F) {
	f.Add("1", "")
	f.Add("1", Encode("1", []Run{{From: 0, To: 2}, {From: 4, To: 900, Mark: 3}}))
	f.Add("2", Encode("1", []Run{{From: 9, To: 10, Mark: 3}}))
	f.Fuzz(func(t *testing.T, at, text string) {
		runs, err := Decode(backend.Offset(at), text)
		if err != nil {
			if runs != nil {
				t.Errorf("%v beside %v", runs, err)
			}
			return
		}
		back, err := Decode(backend.Offset(at), Encode(backend.Offset(at), runs))
		if err != nil || !slices.Equal(back, runs) {
			t.Errorf("%v came back as %v, %v", runs, back, err)
		}
	})
}
