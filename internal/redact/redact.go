// Package redact keeps credentials out of errors and logs. Some services and proxies repeat parts of a request in their
// answer. So every answer goes through this package before people can read it.
//
// The package hides as little as possible, to keep messages readable. A secret of fewer than [Least] bytes is not hidden,
// because a short word also stands in messages by chance. A longer secret is hidden only where it is a whole token: the
// secret "readings" does not change "all_readings". A code is never changed, because programs compare codes: see
// [Secrets.Code].
package redact

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Least is the length in bytes from which a secret is hidden.
const Least = 8

// Hidden replaces a secret in a text.
const Hidden = "[hidden]"

// Secrets are the credentials of one request.
type Secrets []string

// Basic returns the secrets of HTTP basic authentication: the password, and the encoded pair of user and password in
// the header.
func Basic(user, password string) Secrets {
	return Secrets{password, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
}

// Authorization returns the secrets in the value of an Authorization header: the whole value, and the value without its
// scheme.
func Authorization(value string) Secrets {
	_, credentials, _ := strings.Cut(value, " ")
	return Secrets{value, credentials}
}

// Text returns text with every secret replaced by Hidden. Text also finds quoted and escaped secrets.
func (s Secrets) Text(text string) string {
	var found []span
	for _, secret := range s {
		if len(secret) < Least {
			continue
		}
		for _, form := range forms(secret) {
			found = appendSpans(found, text, form)
		}
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var b strings.Builder
	end := 0
	for i, f := range found {
		if i == 0 || f.from > end { // where secrets overlap or touch, we write Hidden once
			b.WriteString(text[end:f.from])
			b.WriteString(Hidden)
		}
		end = max(end, f.to)
	}
	b.WriteString(text[end:])
	return b.String()
}

// Code returns the code by which a service names a failure. If code has the form of a code, Code returns the code
// unchanged, whatever the secrets are: programs compare codes, and a secret may happen to be a common word. Every other
// string goes through Text.
func (s Secrets) Code(code string) string {
	if isCode(code) {
		return code
	}
	return s.Text(code)
}

// Error returns err if its text has no secret. Otherwise it returns an error with the same meaning and a text without
// secrets.
func (s Secrets) Error(err error) error {
	if err == nil {
		return nil
	}
	whole := err.Error()
	if text := s.Text(whole); text != whole {
		return &hiddenError{text: text, err: err}
	}
	return err
}

// Cause returns the original error inside an error of Error. Use the original only to classify a failure, and never print
// the original: its text has a secret.
func Cause(err error) error {
	var hidden *hiddenError
	if errors.As(err, &hidden) {
		return hidden.err
	}
	return err
}

// A hiddenError answers errors.Is as the original error does. There is no Unwrap, because Unwrap would give access to the
// text with the secret.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string        { return e.text }
func (e *hiddenError) Is(target error) bool { return errors.Is(e.err, target) }

// forms returns the spellings of a secret in a text: unchanged, in a quoted string, and in a URL.
func forms(secret string) []string {
	quoted := strconv.Quote(secret)
	all := []string{secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret)}
	slices.Sort(all)
	return slices.Compact(all)
}

// A span is a range of bytes of a text.
type span struct{ from, to int }

// appendSpans appends the places where word stands in text as a whole token.
func appendSpans(found []span, text, word string) []span {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return found
		}
		from, to := at+i, at+i+len(word)
		if !(inToken(word[0]) && joinedBefore(text[:from])) && !(inToken(word[len(word)-1]) && to < len(text) && inToken(text[to])) {
			found = append(found, span{from, to})
		}
		at = from + 1
	}
}

// joinedBefore reports whether text ends inside a token, so that the next byte belongs to the same token. The end of an
// escape, such as \n in a quoted string or %20 in a URL, does not belong to a token.
func joinedBefore(text string) bool {
	n := len(text)
	switch {
	case n == 0 || !inToken(text[n-1]):
		return false
	case n >= 2 && text[n-2] == '\\':
		return false
	case n >= 3 && text[n-3] == '%':
		return false
	}
	return true
}

// inToken reports whether c can be part of a token.
func inToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c >= 0x80
}

// isCode reports whether s has the form of a code: words that are all lower case or all upper case, joined by
// underscores, with a letter first. A number of up to Least digits is a code too.
func isCode(s string) bool {
	var lower, upper, digits, underscores int
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z':
			lower++
		case 'A' <= c && c <= 'Z':
			upper++
		case '0' <= c && c <= '9':
			digits++
		case c == '_':
			underscores++
		default:
			return false
		}
	}
	if lower+upper == 0 {
		return underscores == 0 && digits <= Least
	}
	letterFirst := s[0] > '9' && s[0] != '_'
	// A hexadecimal key has letters of one case too. Its many digits tell it from a code.
	return letterFirst && (lower == 0 || upper == 0) && digits <= 4 && len(s) <= 64
}
