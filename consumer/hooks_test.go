package consumer_test

import (
	"testing"

	"github.com/headrace/headrace/consumer"
)

func TestHooksTellWhenALoopBeginsAndEnds(t *testing.T) {
	var begun, ended int
	var stats func() consumer.Stats
	c := newConsumer(t, count(t, 3), consumer.StopAtTail(), consumer.Observe(consumer.Hooks{
		LoopStarted: func(f func() consumer.Stats) func() {
			begun, stats = begun+1, f
			return func() { ended++ }
		},
	}))
	for loop := 1; loop <= 2; loop++ {
		if _, err := drain(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if begun != loop || ended != loop || stats().Done != 3 {
			t.Errorf("loop %d: %d begun, %d ended, %d records done", loop, begun, ended, stats().Done)
		}
	}
}
