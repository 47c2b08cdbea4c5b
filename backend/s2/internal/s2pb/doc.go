// Package s2pb holds the protobuf messages of S2's data plane as generated code. The client encodes and decodes by hand on
// its hot path and is tested against these types; servers for tests may use them directly.
//
// To generate them again: protoc 3.21 with protoc-gen-go v1.36.12 in the PATH.
package s2pb

//go:generate protoc --go_out=. --go_opt=paths=source_relative s2.proto
