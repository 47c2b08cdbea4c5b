package backendtest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// tester is what the suite needs of a *testing.T, so that its own tests can see it fail.
type tester interface {
	testing.TB
	sub(name string, f func(tester))
	bubble(f func(tester)) // runs f, the whole test, in a synctest bubble
}

type realT struct{ *testing.T }

func (t realT) sub(name string, f func(tester)) {
	t.Run(name, func(t *testing.T) { f(realT{t}) })
}

func (t realT) bubble(f func(tester)) {
	var inner *testing.T
	err := inBubble(t.T, func(t *testing.T) {
		inner = t
		f(realT{t})
	})
	switch {
	case err != nil:
		t.Error(err)
	case inner.Skipped():
		t.SkipNow()
	}
}

// inBubble turns the panic at the end of a bubble that goroutines are left in into an error that shows them.
func inBubble(t *testing.T, f func(*testing.T)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("goroutines are left behind: %v\n%s", p, bubbled())
		}
	}()
	synctest.Test(t, f)
	return nil
}

// bubbled returns the stacks of the goroutines that are in any bubble.
func bubbled() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, "synctest bubble") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
