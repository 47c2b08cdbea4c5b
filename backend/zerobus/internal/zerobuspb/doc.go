// Package zerobuspb is the wire schema of Zerobus Ingest, generated from zerobus.proto.
package zerobuspb

//go:generate ./generate.sh
