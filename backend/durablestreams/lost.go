package durablestreams

import (
	"errors"
	"fmt"
	"net"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
)

// lost classifies the failure of a request without an answer. stores says whether the request could have stored something.
func lost(err error, stores bool) error {
	// A wrong setting gets a hint first: the error of the transport is the same for a wrong port and for an outage.
	err = settings.Explain(err)
	switch {
	case misconfig.Due(err): // no further attempt helps
		return err
	case !stores || unsent(err):
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
}

// unsent reports whether there was no connection: nothing of the request has left the process then.
func unsent(err error) bool {
	var op *net.OpError
	// Every other error of the network may come after the server has the whole request.
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// settings tell the operator how to correct a setting of a client.
var settings = misconfig.Hints{
	misconfig.Untrusted: "check the host of the base URL, or give the option HTTP a client that trusts the authority which signs for it",
	misconfig.NoTLS:     "the server there does not speak TLS: write its base URL with http",
	misconfig.NeedsTLS:  "the server there speaks TLS: write its base URL with https",
}
