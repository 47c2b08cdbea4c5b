#!/bin/sh
# Generates the Go code of reading.proto. protoc itself is Debian's protobuf-compiler (3.21.12); any later one will do.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
PATH=$bin:$PATH protoc -I. --go_out=. --go_opt=paths=source_relative reading.proto
