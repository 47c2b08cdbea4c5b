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
