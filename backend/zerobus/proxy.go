package zerobus

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/headrace/headrace/backend"
)

// errProxy does not quote the variable, because the variable may contain a password.
var errProxy = fmt.Errorf("the proxy of the environment is not http://host[:port]: %w", backend.ErrRejected)

// proxyFor returns the proxy for a host:port, or nil. It reads the same variables as clients of gRPC in most languages.
func proxyFor(hostport string, env func(string) string) (*url.URL, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := env(n); v != "" {
				return v
			}
		}
		return ""
	}
	s := first("grpc_proxy", "GRPC_PROXY", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
	host, _, err := net.SplitHostPort(hostport)
	if s == "" || err != nil || bypassed(host, first("no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY")) {
		return nil, nil
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return nil, errProxy
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "80")
	}
	if !validPort(u.Port()) {
		return nil, errProxy
	}
	return u, nil
}

// bypassed reports whether the list contains the host, a domain above the host, or "*" for everything. An entry example.com also
// stands for db.example.com, and not for badexample.com.
func bypassed(host, list string) bool {
	for e := range strings.SplitSeq(list, ",") {
		e = strings.TrimPrefix(strings.TrimSpace(e), ".")
		if e == "*" || e != "" && (strings.EqualFold(host, e) || len(host) > len(e) && strings.EqualFold(host[len(host)-len(e)-1:], "."+e)) {
			return true
		}
	}
	return false
}
