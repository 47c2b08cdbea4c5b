package s2

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const (
	accountEndpoint = "https://a.s2.dev/v1"
	basinEndpoint   = "https://{basin}.b.s2.dev/v1"
	basinPlace      = "{basin}"
)

// An endpoint is the address of a server. A template holds a placeholder for the basin in the host or the path. Any other endpoint
// serves all basins, and requests name the basin in a header.
type endpoint struct {
	scheme, host, path string
}

// parseEndpoint completes an address. The default scheme is https, but http for this machine. The default path is /v1. A given
// path, even "/", stays.
func parseEndpoint(s string) (endpoint, error) {
	if s == "" || strings.ContainsAny(s, " \t\r\n") {
		return endpoint{}, errMalformedEndpoint // without the address, which may hold a password
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if !hasPath {
		path = "v1"
	}
	name, err := checkHost(host, rest)
	if err != nil {
		return endpoint{}, err
	}
	if scheme == "" {
		scheme = "https"
		if name == "localhost" || net.ParseIP(name).IsLoopback() {
			scheme = "http"
		}
	}
	if scheme != "http" && scheme != "https" {
		return endpoint{}, fmt.Errorf("malformed endpoint %q: scheme %q, want http or https", s, scheme)
	}
	return endpoint{scheme: scheme, host: host, path: strings.TrimRight("/"+path, "/")}, nil
}

var errMalformedEndpoint = errors.New("malformed endpoint: want [scheme://]host[:port][/path] without spaces and credentials")

// checkHost refuses a wrong host or port, and returns the host without the port. rest is the address without the scheme. The errors
// do not repeat the address where the address may hold a password.
func checkHost(host, rest string) (name string, err error) {
	// The placeholder is not allowed in a host, but the name of a basin is.
	u, err := url.Parse("http://" + strings.ReplaceAll(host, basinPlace, "basin"))
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(rest, "?#") {
		return "", errMalformedEndpoint
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("malformed endpoint %q: port %s, want 1 to 65535", rest, port)
		}
	}
	return u.Hostname(), nil
}

// template reports whether the endpoint holds the placeholder for the basin.
func (e endpoint) template() bool {
	return strings.Contains(e.host, basinPlace) || strings.Contains(e.path, basinPlace)
}

// server returns the URL of the server of a basin, without a path.
func (e endpoint) server(basin string) string {
	return e.scheme + "://" + strings.ReplaceAll(e.host, basinPlace, basin)
}

// at returns the URL of segments. at escapes each segment, because the name of a stream may hold a slash.
func (e endpoint) at(basin string, segments ...string) string {
	var b strings.Builder
	b.WriteString(e.server(basin))
	b.WriteString(strings.ReplaceAll(e.path, basinPlace, url.PathEscape(basin)))
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}
