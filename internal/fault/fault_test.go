package fault_test

import (
	"sync"
	"testing"

	"github.com/headrace/headrace/internal/fault"
)

type (
	op    uint16
	stage int
	set   = fault.Set[op, stage, string]
	given = fault.Fault[op, stage, string]
)

const (
	read op = 1 << iota
	write
)

// strikes returns what goes wrong at n moments, one letter for each, a dot for nothing.
func strikes(s *set, op op, on string, stage stage, n int) string {
	out := ""
	for range n {
		do, struck := s.Strike(op, on, stage)
		if !struck {
			do = "."
		}
		out += do
	}
	return out
}

func TestFaultStrikesWhereItFits(t *testing.T) {
	for name, test := range map[string]struct {
		f    given
		want string // reads of s at 0, reads of s at 1, reads of other at 0, writes of s at 0: three each
	}{
		"anything":   {given{Do: "x", Times: fault.Always}, "xxx...xxxxxx"},
		"once":       {given{Do: "x"}, "x..........."},
		"twice":      {given{Do: "x", Times: 2}, "xx.........."},
		"later":      {given{Do: "x", Skip: 2}, "..x........."},
		"a class":    {given{Op: write, Do: "x"}, ".........x.."},
		"two":        {given{Op: read | write, Do: "x", Times: fault.Always}, "xxx...xxxxxx"},
		"one stream": {given{On: "other", Do: "x", Times: fault.Always}, "......xxx..."},
		"a stage":    {given{Stage: 1, Do: "x", Skip: 1, Times: fault.Always}, "....xx......"},
	} {
		t.Run(name, func(t *testing.T) {
			var s set
			s.Inject(test.f)
			got := strikes(&s, read, "s", 0, 3) + strikes(&s, read, "s", 1, 3) + strikes(&s, read, "other", 0, 3) + strikes(&s, write, "s", 0, 3)
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// The first fault that fits strikes, and a moment at which another fault strikes counts as skipped.
func TestFaultsCountTheSameMoments(t *testing.T) {
	var s set
	s.Inject(given{Do: "a", Skip: 1})
	s.Inject(given{Do: "b", Skip: 2, Times: 2})
	s.Inject(given{Do: "c", Skip: 3, Times: fault.Always})
	if got := strikes(&s, read, "s", 0, 6); got != ".abbcc" {
		t.Error(got)
	}
}

func TestRemovedFaultStrikesNoMore(t *testing.T) {
	var s set
	a := s.Inject(given{Do: "a", Times: fault.Always})
	b := s.Inject(given{Do: "b", Times: fault.Always})
	got := strikes(&s, read, "s", 0, 2)
	a.Remove()
	a.Remove()
	got += strikes(&s, read, "s", 0, 3)
	s.Clear()
	got += strikes(&s, read, "s", 0, 1)
	if got != "aabbb." || a.Hits() != 2 || b.Hits() != 3 {
		t.Errorf("%s, %d and %d hits", got, a.Hits(), b.Hits())
	}
}

func TestFaultStrikesOnceForManyRequests(t *testing.T) {
	var s set
	in := s.Inject(given{Do: "x", Times: 5})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { s.Strike(read, "s", 0) })
	}
	wg.Wait()
	if in.Hits() != 5 {
		t.Errorf("%d hits, want 5", in.Hits())
	}
}
