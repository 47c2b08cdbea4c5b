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

// HeaderValue reports whether s can be the value of an HTTP header (RFC 9110, section 5.5): s has no control character except
// the tab. A client must check a value itself, because a transport reports a wrong value as a failure of the network, and a
// failure of the network is tried again. The usual cause is a token from a file, read with the line end.
func HeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Printable reports whether s is printable ASCII, spaces included. gRPC allows nothing else in a value of metadata, while HTTP
// allows more.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// BearerToken reports whether s can be an access token in an Authorization header: visible ASCII, at least one byte. An
// empty token, or a token with a space, would change the meaning of the header.
func BearerToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
