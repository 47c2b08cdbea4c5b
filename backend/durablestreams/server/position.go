package server

import (
	"fmt"
	"strconv"
)

// A Position is a place in a stream: the number of stored bytes before the place. On the wire, a Position is a token of
// two groups of sixteen digits, and the first group is zero. Tokens must sort like the positions, and clients of the
// protocol know this form.
type Position uint64

// Now and Beginning can replace a Position in a read. Now is the tail. Beginning is the earliest position that is kept.
const (
	Now       Position = 1<<64 - 1
	Beginning Position = 1<<64 - 2
)

const (
	digits      = 16
	maxPosition = Position(9_999_999_999_999_999)
)

// String returns the token of p.
func (p Position) String() string {
	var b [2*digits + 1]byte
	for i := range b {
		b[i] = '0'
	}
	b[digits] = '_'
	for i := len(b) - 1; p > 0 && i > digits; i-- {
		b[i] = byte('0' + p%10)
		p /= 10
	}
	return string(b[:])
}

// ParsePosition reads a token that String has written. Any other token is an error that wraps [ErrRequest]. A token
// with a first group that is not zero may come from another server; ParsePosition returns a place beyond every tail for
// it.
func ParsePosition(token string) (Position, error) {
	if len(token) != 2*digits+1 || token[digits] != '_' {
		return 0, fmt.Errorf("%w: malformed offset", ErrRequest)
	}
	for i := range len(token) {
		if c := token[i]; i != digits && (c < '0' || c > '9') {
			return 0, fmt.Errorf("%w: malformed offset", ErrRequest)
		}
	}
	// To refuse the token as malformed would tell a client to give up. A place beyond the tail is answered with 410,
	// and the client may choose another start.
	if token[:digits] != "0000000000000000" {
		return maxPosition, nil
	}
	n, err := strconv.ParseUint(token[digits+1:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: malformed offset", ErrRequest)
	}
	return Position(n), nil
}
