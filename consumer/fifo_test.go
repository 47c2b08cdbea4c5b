package consumer

import (
	"slices"
	"testing"
)

func TestFifoKeepsTheOrder(t *testing.T) {
	var q fifo[int]
	var want []int
	for i := range 10_000 {
		q.push(i)
		want = append(want, i)
		if i%3 == 0 {
			q.pop(1)
			want = want[1:]
		}
		if i%100 == 0 && i > 0 {
			head := slices.Clone(q.waiting()[:7])
			q.pop(7)
			q.unpop(head)
		}
		if i%1000 == 0 {
			q.unpop([]int{-1, -2, -3}[:i/1000%4%3])
			want = append([]int{-1, -2, -3}[:i/1000%4%3:i/1000%4%3], want...)
		}
	}
	if q.len() != len(want) || !slices.Equal(q.waiting(), want) {
		t.Errorf("%d elements, want %d", q.len(), len(want))
	}
}

func TestFifoUsesTheRoomOfWhatWasTaken(t *testing.T) {
	var q fifo[int]
	for i := range 10 {
		q.push(i)
	}
	for i := range 100_000 {
		q.pop(1)
		q.push(i)
	}
	if n := cap(q.all); n > 100 {
		t.Errorf("room for %d elements, and 10 wait", n)
	}
}
