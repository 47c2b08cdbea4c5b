package zerobus

import (
	"fmt"
	"net/http"
)

// A ProxyError is the answer of a proxy of the environment that made no tunnel to the service. A status of 500 or more comes
// wrapped with [backend.ErrTransient]. Any other status, for example 407 for wrong or missing credentials, comes with
// [backend.ErrUnauthorized].
type ProxyError struct {
	Proxy  string // host and port
	Status int    // of the answer to CONNECT
}

// Error names the proxy and its answer, and no credentials.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("proxy %s: CONNECT: status %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
}
