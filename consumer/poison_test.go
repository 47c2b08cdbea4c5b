package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// poisoned holds 0, 1, bad 2, bad 3, 4, bad 5, then the end of the stream.
func poisoned() *script {
	return newScript(step{
		from: 0, to: 6, values: []string{"0", "1", "bad:secret", "bad", "4", "bad"},
		headers: backend.Headers{{Name: "h", Value: []byte("v")}},
	}, step{read: io.EOF})
}

func TestPoisonStopsBeforeTheRecord(t *testing.T) {
	for _, decoders := range []int{1, 3} {
		store := newSpy()
		c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.Decoders(decoders))
		got, err := drain(t.Context(), c)
		var poison *consumer.DecodeError
		if !slices.Equal(got, upTo(0, 2)) || !errors.As(err, &poison) || !errors.Is(err, errBad) {
			t.Fatalf("got %v and %v", got, err)
		}
		if poison.Offset != "2" || poison.Next != "3" || string(poison.Value) != "bad:secret" {
			t.Errorf("got %+v", poison)
		}
		if !strings.Contains(err.Error(), `"2"`) || strings.Contains(err.Error(), "secret") {
			t.Errorf("the text must name the place and not the bytes: %v", err)
		}
		if at := stored(t, store); at != "2" {
			t.Errorf("%q is saved, want the poison's place", at)
		}
	}
}

func TestPoisonSkipped(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.OnPoison(consumer.Skip))
	got, err := drain(t.Context(), c)
	if err != nil || !slices.Equal(got, []int{0, 1, 4}) || stored(t, store) != "6" {
		t.Errorf("got %v and %v, %q is saved", got, err, stored(t, store))
	}
	if st := c.Stats(); st.Poison != 3 || st.Done != 6 {
		t.Errorf("stats %+v", st)
	}
}

func TestPoisonByTheCallersJudgement(t *testing.T) {
	enough := errors.New("too much poison")
	store, asked := newSpy(), 0
	letters := &letterbox{}
	c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.DeadLetters(letters),
		consumer.OnPoison(func(e *consumer.DecodeError) error {
			if asked++; e.Offset == "3" {
				return enough
			}
			return nil
		}))
	got, err := drain(t.Context(), c)
	if !slices.Equal(got, upTo(0, 2)) || err != enough || asked != 2 || stored(t, store) != "3" {
		t.Errorf("got %v and %v after %d questions, %q is saved", got, err, asked, stored(t, store))
	}
	if len(letters.got) != 1 || letters.got[0].Offset != "2" {
		t.Errorf("dead letters %+v, want what was skipped", letters.got)
	}
}

type letterbox struct {
	got   []consumer.DeadLetter
	sends int
	fail  error
	see   func()
}

func (l *letterbox) Send(_ context.Context, ds ...consumer.DeadLetter) error {
	if l.see != nil {
		l.see()
	}
	if l.fail != nil {
		return l.fail
	}
	l.sends++
	l.got = append(l.got, ds...)
	return nil
}

func TestDeadLettersAreDurableBeforeTheCheckpointPasses(t *testing.T) {
	store, letters := newSpy(), &letterbox{}
	letters.see = func() {
		if at := stored(t, store); at != "2" && at != "5" {
			t.Errorf("%q is saved while the letter is on its way", at)
		}
	}
	c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.CheckpointEvery(1, 0),
		consumer.DeadLetters(letters))
	got, err := drain(t.Context(), c)
	if err != nil || !slices.Equal(got, []int{0, 1, 4}) || stored(t, store) != "6" {
		t.Errorf("got %v and %v, %q is saved", got, err, stored(t, store))
	}
	if len(letters.got) != 3 || letters.sends != 2 {
		t.Fatalf("%d letters in %d sends, want neighbours together", len(letters.got), letters.sends)
	}
	d := letters.got[0]
	if string(d.Value) != "bad:secret" || d.Offset != "2" || d.Attempts != 0 || !strings.HasSuffix(d.Cause, errBad.Error()) || len(d.Headers) != 1 {
		t.Errorf("got %+v", d)
	}
}

func TestDeadLetterThatFailsEndsTheLoopBeforeTheRecord(t *testing.T) {
	store, letters := newSpy(), &letterbox{fail: errors.New("letterbox on fire")}
	c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.DeadLetters(letters))
	got, err := drain(t.Context(), c)
	if !slices.Equal(got, upTo(0, 2)) || !errors.Is(err, letters.fail) || stored(t, store) != "2" {
		t.Errorf("got %v and %v, %q is saved", got, err, stored(t, store))
	}
}

// posted waits for a second after its ctx's parent has ended, as a store on the other side of a network does.
type posted struct {
	end func()
	got int
}

func (p *posted) Send(ctx context.Context, letters ...consumer.DeadLetter) error {
	p.end()
	select {
	case <-time.After(time.Second):
		p.got += len(letters)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestADeadLetterUnderWayWhenCtxEndsDoesNotComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store, letters := newSpy(), &posted{end: cancel}
		c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.DeadLetters(letters))
		if _, err := drain(ctx, c); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		if letters.got != 2 || stored(t, store) != "4" {
			t.Errorf("%d letters are durable and %q is saved, want 2 and the place behind them", letters.got, stored(t, store))
		}
	})
}

func TestDeadLettersOfATypedProducer(t *testing.T) {
	dead := memory.New()
	p, err := producer.New(t.Context(), dead, codec.JSON[consumer.DeadLetter]())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := drain(t.Context(), newConsumer(t, poisoned(), consumer.DeadLetters(p))); err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(dead, codec.JSON[consumer.DeadLetter](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	var offsets []backend.Offset
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, m.Value.Offset)
	}
	if !slices.Equal(offsets, []backend.Offset{"2", "3", "5"}) {
		t.Errorf("dead letters of %v", offsets)
	}
}

func TestPoisonInABatchAndUnderManualAck(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.ManualAck(),
		consumer.DeadLetters(&letterbox{}))
	for batch, err := range c.Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) != 3 {
			t.Fatalf("%d records", len(batch))
		}
		batch[2].Ack()
		batch[1].Ack()
		if err := c.Commit(t.Context()); err != nil || stored(t, store) != "0" {
			t.Errorf("%q is saved while record 0 is open", stored(t, store))
		}
		batch[0].Ack()
	}
	if at := stored(t, store); at != "6" {
		t.Errorf("%q is saved at the end", at)
	}
}

func TestPoisonInABatchIsNotDoneBeforeTheBatch(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.OnPoison(consumer.Skip))
	for batch, err := range c.Batches(t.Context()) {
		if err != nil || len(batch) != 3 {
			t.Fatalf("%d records and %v", len(batch), err)
		}
		if err := c.Commit(t.Context()); err != nil || stored(t, store) != "0" {
			t.Errorf("%v, %q is saved with the batch in hand", err, stored(t, store))
		}
	}
	if at := stored(t, store); at != "6" {
		t.Errorf("%q is saved at the end", at)
	}
}

func TestPanicOfTheCodecIsRaisedInTheLoopsGoroutine(t *testing.T) {
	for _, decoders := range []int{1, 3} {
		store := newSpy()
		c, err := consumer.New(count(t, 9), codec.Func("text/plain", nil, func(src []byte) (int, error) {
			if string(src) == "4" {
				panic("codec on fire")
			}
			return decodeNumber(src)
		}), consumer.Checkpoint(store, key), consumer.Decoders(decoders))
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "codec on fire") || !strings.Contains(text, `"4@`) {
					t.Errorf("recovered %q, want the codec's panic and its record", text)
				}
			}()
			got, err = drain(t.Context(), c)
			t.Errorf("got %v and %v without a panic", got, err)
		}()
		if at := number(stored(t, store)); at != "4" {
			t.Errorf("%q is saved, want the place of the record that cannot be decoded", at)
		}
	}
}
