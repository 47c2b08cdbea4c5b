// Package turns compares the time of an operation with the time of a raw loop, in a benchmark.
package turns

import (
	"testing"
	"time"
)

// Compare runs loop and own in turns of the given number of operations, b.N operations of each. Other work of the machine then
// slows both down, and the quotient is steadier than the quotient of two benchmarks that run one after the other. The time of the
// benchmark is the time of own alone. Compare also reports the time of an operation of loop (loop-ns/op), and the quotient
// (x-loop).
func Compare(b *testing.B, turn int, loop, own func(n int)) {
	b.Helper()
	var looped time.Duration
	b.ResetTimer()
	b.StopTimer()
	for done := 0; done < b.N; done += turn {
		n := min(turn, b.N-done)
		began := time.Now()
		loop(n)
		looped += time.Since(began)
		b.StartTimer()
		own(n)
		b.StopTimer()
	}
	b.ReportMetric(float64(looped.Nanoseconds())/float64(b.N), "loop-ns/op")
	b.ReportMetric(b.Elapsed().Seconds()/looped.Seconds(), "x-loop")
}
