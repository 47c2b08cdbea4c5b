package main

import (
	"regexp"
	"strconv"
	"strings"
)

// results holds for each benchmark and each unit the figures of all runs, in the order of the runs.
type results map[string]map[string][]float64

// benchLine is what the testing package prints for a benchmark: the name, the number of processors, the iterations, and figures
// with their units.
var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.+)$`)

// add takes up what one run has printed.
func (r results) add(output string) {
	for l := range strings.Lines(output) {
		m := benchLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		units := r[m[1]]
		if units == nil {
			units = map[string][]float64{}
			r[m[1]] = units
		}
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				units[fields[i+1]] = append(units[fields[i+1]], v)
			}
		}
	}
}
