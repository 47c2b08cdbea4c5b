// Package idle measures the memory and the goroutines of producers and consumers without work. The package has only
// tests. A service with a stream for each customer has thousands of both.
//
//	go test -v ./internal/idle                  # 1,000 of each, 500 on S2
//	HEADRACE_LONG=1 go test -v ./internal/idle  # 10,000 of each, 1,000 on S2
package idle
