package zerobus

import (
	"fmt"
	"net/http"
)

// A ProxyError is a proxy of the environment that made no tunnel to the service. A status of 500 or more comes beside
// [backend.ErrTransient], any other, such as 407 for credentials that are wrong or missing, beside [backend.ErrUnauthorized].
type ProxyError struct {
	Proxy  string // its host and port
	Status int    // of its answer to CONNECT
}

// Error says which proxy answered what. It tells nothing of the credentials.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("proxy %s: CONNECT: status %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
}
