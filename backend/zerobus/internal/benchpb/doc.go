// Package benchpb is the message that the benchmarks write, generated from reading.proto.
package benchpb

//go:generate ./generate.sh
