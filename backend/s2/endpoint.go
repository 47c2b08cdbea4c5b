package s2

import (
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

// An endpoint is where requests go. A template names the basin in its host or path; any other endpoint serves all basins,
// and requests name theirs in a header.
type endpoint struct {
	scheme, host, path string
}

// parseEndpoint completes what users write: without a scheme it is https, but http on this machine; without a path it
// is /v1. An explicit path, even "/", stays as it is.
func parseEndpoint(s string) (endpoint, error) {
	raw := s
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsAny(s, " \t\r\n") {
		return endpoint{}, fmt.Errorf("malformed endpoint %q", raw)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	host, path, hasPath := strings.Cut(rest, "/")
	path = "/" + path
	if !hasPath {
		path = "/v1"
	}
	// The placeholder is no legal host; a basin's name in its place is.
	u, err := url.Parse("http://" + strings.ReplaceAll(host, basinPlace, "basin"))
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(rest, "?#") {
		return endpoint{}, fmt.Errorf("malformed endpoint: want [scheme://]host[:port][/path]")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return endpoint{}, fmt.Errorf("malformed endpoint %q: port %s, want 1 to 65535", raw, port)
		}
	}
	switch scheme {
	case "":
		scheme = "https"
		if name := u.Hostname(); name == "localhost" || net.ParseIP(name).IsLoopback() {
			scheme = "http"
		}
	case "http", "https":
	default:
		return endpoint{}, fmt.Errorf("malformed endpoint %q: scheme %q, want http or https", raw, scheme)
	}
	return endpoint{scheme: scheme, host: host, path: strings.TrimRight(path, "/")}, nil
}

// template reports whether the endpoint itself names the basin.
func (e endpoint) template() bool {
	return strings.Contains(e.host, basinPlace) || strings.Contains(e.path, basinPlace)
}

// at makes the URL of segments, which are escaped one by one: a stream's name may hold a slash.
func (e endpoint) at(basin string, segments ...string) string {
	var b strings.Builder
	b.WriteString(e.scheme + "://")
	b.WriteString(strings.ReplaceAll(e.host, basinPlace, basin))
	b.WriteString(strings.ReplaceAll(e.path, basinPlace, url.PathEscape(basin)))
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}
