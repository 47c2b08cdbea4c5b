package backendtest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// tester holds the methods of *testing.T that the suite needs. The suite's own tests use another tester, to see rules fail.
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

// inBubble runs f in a synctest bubble. When goroutines are left at the end, synctest panics; inBubble turns the panic into an
// error with the stacks of the goroutines.
func inBubble(t *testing.T, f func(*testing.T)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("goroutines are left behind: %v\n%s", p, bubbled())
		}
	}()
	synctest.Test(t, f)
	return nil
}

// bubbled returns the stacks of the goroutines in all bubbles.
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
