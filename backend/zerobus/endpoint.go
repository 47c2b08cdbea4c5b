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
	target    string // for grpc.NewClient
	host      string // host:port, for proxies; "" for targets with a resolver of their own
	plaintext bool
	workspace string // the first label of the host, which for the real service is the workspace's id
}

// parseEndpoint reads "https://host[:port]", a bare "host[:port]", which is the same, "http://host[:port]" without TLS,
// and gRPC's own "dns:///…" and "passthrough:///…".
func parseEndpoint(s string) (endpoint, error) {
	s = strings.TrimSpace(s)
	bad := func(why string) (endpoint, error) {
		return endpoint{}, fmt.Errorf("%w: endpoint %q: %s", backend.ErrRejected, httpwire.Clip(s), why)
	}
	for _, scheme := range []string{"dns:///", "passthrough:///"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			if rest == "" || strings.HasPrefix(rest, ":") {
				return bad("no host")
			}
			if _, port, err := net.SplitHostPort(rest); err == nil && !validPort(port) {
				return bad(badPort)
			}
			first, _, _ := strings.Cut(rest, ".")
			return endpoint{target: s, workspace: first}, nil
		}
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // without the text again, which may hold what its user took for a password
		}
		return endpoint{}, fmt.Errorf("%w: endpoint: %w", backend.ErrRejected, err)
	case u.User != nil:
		return endpoint{}, fmt.Errorf("%w: endpoint: credentials do not belong there", backend.ErrRejected)
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("the scheme is not https or http")
	case u.Hostname() == "":
		return bad("no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return bad("more than a host and a port")
	case !confidential(u):
		return endpoint{}, fmt.Errorf("%w: endpoint", errPlaintext)
	case strings.ContainsAny(u.Hostname(), " \t%"):
		return bad("the host has characters that no host has")
	}
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return bad("no port behind the colon")
		}
		if port = "443"; u.Scheme == "http" {
			port = "80"
		}
	}
	if !validPort(port) {
		return bad(badPort)
	}
	host := net.JoinHostPort(u.Hostname(), port)
	first, _, _ := strings.Cut(u.Host, ".")
	// passthrough: the name is for the dialer, or for the proxy, which may know names that are not known here.
	return endpoint{target: "passthrough:///" + host, host: host, plaintext: u.Scheme == "http", workspace: first}, nil
}

// parseCatalog reads the URL of the workspace whose Unity Catalog mints tokens. A slash at its end is not part of it.
func parseCatalog(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: the Unity Catalog URL must be https://host[:port]", backend.ErrRejected)
	}
	if port := u.Port(); port != "" && !validPort(port) {
		return "", fmt.Errorf("%w: the Unity Catalog URL: %s", backend.ErrRejected, badPort)
	}
	// The secret must not go where it is of no use.
	if labels := strings.Split(u.Hostname(), "."); len(labels) > 2 && labels[1] == "zerobus" {
		return "", fmt.Errorf("%w: the Unity Catalog URL is that of a Zerobus endpoint: are Endpoint and UnityCatalog swapped?", backend.ErrRejected)
	}
	if !confidential(u) {
		return "", fmt.Errorf("%w: Unity Catalog", errPlaintext)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

const badPort = "the port is not one of 1 to 65535"

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

var errPlaintext = fmt.Errorf("%w: credentials go over https only, or over http to a loopback address: use https://", backend.ErrRejected)

// confidential reports whether credentials may go to u: anybody on the way can read what goes over http.
func confidential(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || host == "localhost" || net.ParseIP(host).IsLoopback()
}
