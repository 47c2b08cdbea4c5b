// Package idle measures the memory and the goroutines of producers and consumers without work. The package has only
// tests. A service with a stream for each customer has thousands of both.
//
//	go test -v ./internal/idle                  # 1,000 of each, 500 on S2 and Durable Streams
//	HEADRACE_LONG=1 go test -v ./internal/idle  # 10,000 of each, 1,000 on S2 and Durable Streams
//	.ci/postgres go test -v ./internal/idle     # PostgreSQL too
package idle
