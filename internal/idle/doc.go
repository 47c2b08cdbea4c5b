// Package idle measures what a producer and a consumer cost that have nothing to do: memory and goroutines. It has only
// tests. A service with a stream for each of its customers has thousands of them.
//
//	go test -v ./internal/idle                  # 500 of each
//	HEADRACE_LONG=1 go test -v ./internal/idle  # 10,000 of each, 1,000 on S2
package idle
