package durablestreams_test

import (
	"errors"

	"github.com/headrace/headrace/backend/durablestreams"
)

// errProtocol stands for every *ProtocolError in a list of errors. See is.
var errProtocol = errors.New("a ProtocolError")

// is is errors.Is, and finds a *ProtocolError where errProtocol is wanted.
func is(err, want error) bool {
	if want == errProtocol {
		return isProtocolError(err)
	}
	return errors.Is(err, want)
}

func isProtocolError(err error) bool { return errors.As(err, new(*durablestreams.ProtocolError)) }
