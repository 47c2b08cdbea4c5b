package producer_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// typed writes a header with the length of the text.
func typed() codec.Codec[string] {
	return codec.WithHeaders(codec.String(), func(h backend.Headers, v string) backend.Headers {
		return append(h, backend.Header{Name: "len", Value: fmt.Append(nil, len(v))})
	}, nil)
}

func TestHeadersOfTheCodecComeBeforeThoseOfTheRecord(t *testing.T) {
	stream := memory.New()
	p, err := producer.New(t.Context(), stream, typed())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	own := backend.Headers{{Name: "trace", Value: []byte("1")}}
	err = p.SendRecord(t.Context(), producer.Record[string]{Value: "one", Headers: own, Time: at}, producer.Record[string]{Value: "three"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), "fifteen", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.TryEnqueueRecord(producer.Record[string]{Value: "zz", Headers: own}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`one [{len 3} {trace 1}]`, `three [{len 5}]`, `fifteen [{len 7}]`, `x [{len 1}]`, `zz [{len 2} {trace 1}]`,
	}
	for i, r := range stream.Records() {
		text := string(r.Value) + " ["
		for j, h := range r.Headers {
			if j > 0 {
				text += " "
			}
			text += fmt.Sprintf("{%s %s}", h.Name, h.Value)
		}
		if text += "]"; text != want[i] {
			t.Errorf("record %d: %s, want %s", i, text, want[i])
		}
		if i == 0 && !r.Time.Equal(at) {
			t.Errorf("time %v, want %v", r.Time, at)
		}
	}
}

// Batches use the memory of earlier batches. A record must not get the headers or the time of the record that lay in its place.
func TestRecordHasNothingOfTheRecordBeforeInItsMemory(t *testing.T) {
	stream := memory.New()
	p, err := producer.New(t.Context(), stream, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	full := producer.Record[string]{Value: "full", Headers: backend.Headers{{Name: "h", Value: []byte("v")}}, Time: time.Unix(1, 0)}
	for range 20 { // the pool forgets at random under the race detector
		if err := p.SendRecord(t.Context(), full, full, full); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), "bare", "bare"); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for i, r := range stream.Records() {
		if full := i%5 < 3; full != r.Time.Equal(time.Unix(1, 0)) || full != (len(r.Headers) == 1) || full != (string(r.Value) == "full") {
			t.Errorf("record %d: %q, headers %v, time %v", i, r.Value, r.Headers, r.Time)
		}
	}
}

func TestAValueThatCannotBeEncodedIsAnEncodeError(t *testing.T) {
	bad := errors.New("bad value")
	c := codec.Validate(codec.String(), func(v string) error {
		if v == "bad" {
			return bad
		}
		return nil
	})
	p, err := producer.New(t.Context(), memory.New(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, enqueueErr := p.Enqueue(t.Context(), "bad")
	for call, err := range map[string]error{
		"Send": p.Send(t.Context(), "good", "bad"), "Enqueue": enqueueErr,
		"SendRecord": p.SendRecord(t.Context(), producer.Record[string]{Value: "bad"}),
	} {
		var refused *producer.EncodeError
		if !errors.As(err, &refused) || !errors.Is(err, bad) {
			t.Errorf("%s: %v, want an EncodeError", call, err)
		}
	}
	if _, err := p.Enqueue(t.Context(), "good"); err != nil {
		t.Errorf("the next value: %v", err)
	}
}
