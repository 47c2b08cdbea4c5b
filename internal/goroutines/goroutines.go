// Package goroutines counts the goroutines of a package in a test on a fake clock.
package goroutines

import (
	"runtime"
	"strings"
)

// Of counts the goroutines of the caller's synctest bubble that are in methods of the package with the given last element of its
// path. runtime.NumGoroutine would also count goroutines of the runtime, and goroutines that are about to end.
func Of(pkg string) int {
	text := make([]byte, 1<<20)
	stacks := strings.Split(string(text[:runtime.Stack(text, true)]), "\n\n")
	first, _, _ := strings.Cut(stacks[0], "\n") // of the caller: goroutine 7 [running, synctest bubble 3]:
	_, bubble, _ := strings.Cut(first, "synctest ")
	n := 0
	for _, stack := range stacks {
		if strings.Contains(stack, bubble) && strings.Contains(stack, "/"+pkg+".(") {
			n++
		}
	}
	return n
}
