package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table shows the results of a set: a line for each row, beside its raw loop where it has one.
func (s set) table(r results) string {
	var t strings.Builder
	fmt.Fprintf(&t, "| %s | %s | Headrace | quotient |\n|---|---|---|---|\n", s.name, cmp.Or(s.beside, "raw loop"))
	for _, row := range s.rows {
		ours, raw, quotients := row.figures(r)
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", row.work, spread(raw, row.unit.text), spread(ours, row.unit.text), spread(quotients, hundredths))
	}
	return t.String()
}

// figures returns the figures of a row, those of its raw loop, and their quotients, run by run.
func (row row) figures(r results) (ours, raw, quotients []float64) {
	units := r[row.bench]
	ours = units[row.unit.name]
	if quotients = units[row.unit.ofLoop]; quotients != nil {
		return ours, units[row.unit.loop], quotients
	}
	raw = r[row.raw][row.unit.name]
	for i := range min(len(ours), len(raw)) {
		quotients = append(quotients, ours[i]/raw[i])
	}
	return ours, raw, quotients
}

// spread is the median of figures, with the smallest and the largest in brackets.
func spread(figures []float64, text func(float64) string) string {
	if len(figures) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	median := (sorted[(n-1)/2] + sorted[n/2]) / 2
	return fmt.Sprintf("%s (%s–%s)", text(median), text(sorted[0]), text(sorted[n-1]))
}

func hundredths(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// many is a number of records in a second: 9.4 M, 310 k, 950.
func many(f float64) string {
	switch {
	case f >= 1e6:
		return strconv.FormatFloat(f/1e6, 'f', 1, 64) + " M"
	case f >= 1e4:
		return strconv.FormatFloat(f/1e3, 'f', 0, 64) + " k"
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// short is a time, given in nanoseconds: 45 ns, 23.1 µs, 4.20 ms.
func short(ns float64) string {
	switch {
	case ns >= 1e6:
		return strconv.FormatFloat(ns/1e6, 'f', 2, 64) + " ms"
	case ns >= 1e4:
		return strconv.FormatFloat(ns/1e3, 'f', 1, 64) + " µs"
	}
	return strconv.FormatFloat(ns, 'f', 0, 64) + " ns"
}
