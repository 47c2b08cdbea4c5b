package httpwire

import "strings"

// HeaderName reports whether s can be the name of an HTTP header: a token of RFC 9110, section 5.6.2.
func HeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// HeaderValue reports whether s can be the value of an HTTP header (RFC 9110, section 5.5): it has no control character but
// the tab. A client must check this itself, because a transport reports a wrong value as if the network had failed, and a
// failure of the network is tried again. A token that was read from a file with its line end is the usual case.
func HeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Printable reports whether s is printable ASCII, spaces included. It is the rule of gRPC for a value of metadata, which
// is narrower than that of HTTP.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// BearerToken reports whether s can be an access token in an Authorization header: visible ASCII, at least one byte. An
// empty token or one with a space would change what the header means.
func BearerToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
