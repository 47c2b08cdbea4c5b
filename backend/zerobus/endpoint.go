package zerobus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// An endpoint is where the gRPC service is.
type endpoint struct {
	url       string // scheme, host and port
	workspace string // the first label of the host. The real service has the id of the workspace there.
}

// parseEndpoint reads "https://host[:port]", the same without the scheme, "http://host[:port]" without TLS, and the targets of
// gRPC clients, "dns:///host[:port]" and "passthrough:///host[:port]".
func parseEndpoint(s string) (endpoint, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return endpoint{}, fmt.Errorf("give the Endpoint, the address of Zerobus Ingest: %w", backend.ErrRejected)
	}
	target := strings.TrimPrefix(strings.TrimPrefix(s, "dns:///"), "passthrough:///")
	if !strings.Contains(target, "://") {
		target = "https://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // without the address, because the address may contain a password
		}
		return endpoint{}, fmt.Errorf("the Endpoint: %w: %w", backend.ErrRejected, err)
	}
	if u.User != nil {
		return endpoint{}, fmt.Errorf("the Endpoint: must not contain credentials: %w", backend.ErrRejected)
	}
	if fault := endpointFault(u); fault != "" {
		return endpoint{}, badEndpoint(s, fault)
	}
	if !confidential(u) {
		return endpoint{}, fmt.Errorf("the Endpoint: %w", errPlaintext)
	}
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	first, _, _ := strings.Cut(u.Host, ".")
	return endpoint{url: u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port), workspace: first}, nil
}

func badEndpoint(s, fault string) error {
	return fmt.Errorf("the Endpoint %q: %s: %w", httpwire.Clip(s), fault, backend.ErrRejected)
}

// endpointFault describes the fault in the address of the service; "" if the address is right. Without this
// check, the first stream would fail, with an error that does not name the Endpoint.
func endpointFault(u *url.URL) string {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "the scheme is not https or http"
	case u.Hostname() == "":
		return "no host"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "more than a host and a port"
	case strings.ContainsAny(u.Hostname(), " \t%"):
		return "the host has characters that no host has"
	case strings.HasSuffix(u.Host, ":"):
		return "no port behind the colon"
	case u.Port() != "" && !validPort(u.Port()):
		return badPort
	}
	return ""
}

// parseCatalog reads the URL of the workspace, for token requests, and drops a slash at its end.
func parseCatalog(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("UnityCatalog: must be https://host[:port]: %w", backend.ErrRejected)
	}
	if port := u.Port(); port != "" && !validPort(port) {
		return "", fmt.Errorf("UnityCatalog: %s: %w", badPort, backend.ErrRejected)
	}
	// We must find a swap before the first request, because the request would give the secret to the wrong server.
	if labels := strings.Split(u.Hostname(), "."); len(labels) > 2 && labels[1] == "zerobus" {
		return "", fmt.Errorf("UnityCatalog: this is the URL of a Zerobus endpoint, so Endpoint and UnityCatalog may be swapped: %w", backend.ErrRejected)
	}
	if !confidential(u) {
		return "", fmt.Errorf("UnityCatalog: %w", errPlaintext)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

const badPort = "the port is not one of 1 to 65535"

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

var errPlaintext = fmt.Errorf("credentials go only over https, or over http to a loopback address: use https://: %w", backend.ErrRejected)

// confidential reports whether credentials may go to u. Everybody on the way can read the text of http.
func confidential(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || host == "localhost" || net.ParseIP(host).IsLoopback()
}
