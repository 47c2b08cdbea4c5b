package durablestreams

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/headrace/headrace/backend"
)

// lost classifies the failure of a request that got no answer. stores says whether the request could have stored something.
func lost(err error, stores bool) error {
	hint := misconfigured(err)
	switch {
	case hint != "": // no further attempt mends it
		return fmt.Errorf("%w (%s)", err, hint)
	case !stores || unsent(err):
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
}

// unsent says whether there was no connection, so that nothing of the request has left.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// misconfigured says how to mend the setting that err is due to, "" when it is due to none.
func misconfigured(err error) string {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &cert):
		return "check the host of the base URL, or give the option HTTP a client that trusts the authority which signs for it"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the server there does not speak TLS: write its base URL with http"
	case strings.Contains(err.Error(), alertQuoted):
		return "the server there speaks TLS: write its base URL with https"
	}
	return ""
}

// alertQuoted begins what net/http quotes of the alert by which a TLS server answers a plain request.
const alertQuoted = `malformed HTTP response "\x15\x03`
