package main

import "testing"

func TestTableShowsMediansAndQuotientsOfEachRun(t *testing.T) {
	r := results{}
	r.add("goos: linux\nBenchmarkA/raw-2 \t 10\t 100.0 ns/op\t 2000000 records/s\nBenchmarkA/ours-2 \t 10\t 50 ns/op\t 1000000 records/s\nPASS\n")
	r.add("BenchmarkA/raw-2 \t 10\t 100.0 ns/op\t 20000 records/s\nBenchmarkA/ours-2 \t 10\t 20000 ns/op\t 20000 records/s\n")
	r.add("BenchmarkA/raw-2 \t 10\t 100.0 ns/op\t 4000 records/s\nBenchmarkA/ours-2 \t 10\t 1e6 ns/op\t 3000 records/s\nBenchmarkB-2 1 7 ns/op 8 records/s 0.25 of-loop 32 loop-records/s\n")
	got := set{name: "a set", rows: []row{
		{"rates", "A/ours", "A/raw", rate},
		{"times", "A/ours", "A/raw", duration},
		{"alone", "A/ours", "", rate},
		{"its own loop", "B", "", rateOfLoop},
		{"not measured", "C", "A/raw", rate},
	}}.table(r)
	want := `| a set | raw loop | Headrace | quotient |
|---|---|---|---|
| rates | 20 k (4000–2.0 M) | 20 k (3000–1.0 M) | 0.75 (0.50–1.00) |
| times | 100 ns (100 ns–100 ns) | 20.0 µs (50 ns–1.00 ms) | 200.00 (0.50–10000.00) |
| alone |  | 20 k (3000–1.0 M) |  |
| its own loop | 32 (32–32) | 8 (8–8) | 0.25 (0.25–0.25) |
| not measured | 20 k (4000–2.0 M) |  |  |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSetsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sets {
		if seen[s.name] || s.pkg == "" || s.bench == "" || len(s.rows) == 0 {
			t.Errorf("set %q is not whole, or its name stands twice", s.name)
		}
		seen[s.name] = true
	}
}
