package durablestreams

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A place in a stream is "<offset>/<n>": n messages, or bytes of a framed stream, behind an offset of the server.
func place(offset string, n int64) backend.Offset {
	return backend.Offset(offset + "/" + strconv.FormatInt(n, 10))
}

// parsePlace takes apart what place made, and nothing else.
func parsePlace(o backend.Offset) (offset string, n int64, err error) {
	i := strings.LastIndexByte(string(o), '/')
	if i < 0 || !validOffset(string(o[:i])) {
		return "", 0, fmt.Errorf("%w: %.80q is no place of a durable stream", backend.ErrOutOfRange, o)
	}
	n, ok := number(string(o[i+1:]))
	if !ok || len(o)-i > 2 && o[i+1] == '0' {
		return "", 0, fmt.Errorf("%w: %.80q is no place of a durable stream", backend.ErrOutOfRange, o)
	}
	return string(o[:i]), n, nil
}
