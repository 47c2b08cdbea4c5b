package producer_test

import (
	"testing"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A codec may return memory of the value's instead of appending to what it was given; codec.Func lets that pass for a
// value alone. The producer must not take it for its own and write the next value over it.
func TestAValueThatIsItsOwnEncodingIsNotWrittenTo(t *testing.T) {
	raw := codec.Func("text/plain", func(_ []byte, v []byte) ([]byte, error) { return v, nil }, nil)
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p, err := producer.New(t.Context(), s, raw)
		if err != nil {
			t.Fatal(err)
		}
		mine := []byte("mine")
		for range 20 { // the pool forgets at random under the race detector
			if _, err := p.Enqueue(t.Context(), mine); err != nil {
				t.Fatal(err)
			}
			other := openBytes(t, memory.New())
			if err := other.Send(t.Context(), []byte("over")); err != nil {
				t.Fatal(err)
			}
			if err := other.Close(); err != nil {
				t.Error(err)
			}
		}
		if string(mine) != "mine" {
			t.Errorf("the caller's value is %q now", mine)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for _, v := range values(s) {
			if v != "mine" {
				t.Errorf("the stream holds %q", v)
			}
		}
	})
}

// lender breaks the contract of codecs: for an empty destination it returns the value itself.
type lender struct{ codec.Codec[[]byte] }

func (l lender) AppendEncode(dst, v []byte) ([]byte, error) {
	if len(dst) == 0 {
		return v, nil
	}
	return l.Codec.AppendEncode(dst, v)
}

func TestTheNextValueIsNotAppendedToTheMemoryOfTheOneBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p, err := producer.New(t.Context(), s, codec.Codec[[]byte](lender{codec.Bytes()}))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // the pool forgets at random under the race detector
			array := []byte("first|second")
			if err := p.Send(t.Context(), array[:5], []byte("other")); err != nil {
				t.Fatal(err)
			}
			if string(array) != "first|second" {
				t.Fatalf("the caller's memory is %q now", array)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for i, v := range values(s) {
			if want := [2]string{"first", "other"}[i%2]; v != want {
				t.Errorf("record %d is %q, want %q", i, v, want)
			}
		}
	})
}

// viewing counts how its values are taken.
type viewing struct {
	codec.Codec[[]byte]
	viewed, encoded int
}

func (v *viewing) View(b []byte) ([]byte, error) { v.viewed++; return b, nil }

func (v *viewing) AppendEncode(dst, b []byte) ([]byte, error) {
	v.encoded++
	return v.Codec.AppendEncode(dst, b)
}

// A value that holds its encoding is copied once, into its batch, and is the caller's again when Enqueue returns.
func TestValueThatHoldsItsEncodingIsCopiedOnce(t *testing.T) {
	c := &viewing{Codec: codec.Bytes()}
	s := memory.New()
	p, err := producer.New(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	value := []byte("first")
	for _, next := range []string{"other", "third"} {
		if _, err := p.Enqueue(t.Context(), value); err != nil {
			t.Fatal(err)
		}
		copy(value, next)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := values(s); len(got) != 2 || got[0] != "first" || got[1] != "other" {
		t.Errorf("the stream holds %q", got)
	}
	if c.viewed != 2 || c.encoded != 0 {
		t.Errorf("viewed %d times and encoded %d times, want 2 and 0", c.viewed, c.encoded)
	}
}
