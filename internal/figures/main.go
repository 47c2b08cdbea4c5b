// Command figures measures the figures of docs/performance.md again, and prints them as tables.
//
//	go run ./internal/figures                      all of them, about ten minutes
//	go run ./internal/figures -set S2 -count 3     one set of benchmarks, three runs
//
// Each run runs every benchmark of a set once. So a figure and its raw loop are measured within seconds of each other, and the
// quotient of the two is taken run by run. A table shows the median of the runs, with the smallest and the largest in brackets.
// PostgreSQL and the official client of S2 need more:
//
//	go build -o bin/ ./cmd/headrace
//	HEADRACE_BIN=$PWD/bin/headrace .ci/postgres go run ./internal/figures
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	count := flag.Int("count", 7, "how many `runs`")
	last := flag.String("time", "0.3s", "for how `long` each benchmark runs")
	only := flag.String("set", "", "only the set with this `name`, such as S2")
	flag.Parse()
	if err := measure(*count, *last, *only); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func measure(count int, last, only string) error {
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, s := range sets {
		if only != "" && !strings.EqualFold(only, s.name) {
			continue
		}
		if s.needs != "" && os.Getenv(s.needs) == "" {
			fmt.Printf("%s: left out, because %s is not set.\n\n", s.name, s.needs)
			continue
		}
		r, err := s.run(dir, count, last)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println(s.table(r))
	}
	return nil
}

// run builds the tests of the set's package, and runs the benchmarks of the set count times.
func (s set) run(dir string, count int, last string) (results, error) {
	binary := filepath.Join(dir, strings.ReplaceAll(s.pkg, "/", "_")+".test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Dir = s.pkg
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building its benchmarks: %w", err)
	}
	r := results{}
	for i := range count {
		fmt.Fprintf(os.Stderr, "%s, run %d of %d\n", s.name, i+1, count)
		bench := exec.Command(binary, "-test.run", "^$", "-test.bench", s.bench, "-test.benchtime", last)
		bench.Dir = s.pkg // as go test does
		bench.Stderr = os.Stderr
		out, err := bench.Output()
		if err != nil {
			return nil, fmt.Errorf("run %d: %w\n%s", i+1, err, out)
		}
		r.add(string(out))
	}
	return r, nil
}
