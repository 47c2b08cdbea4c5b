// Package redact keeps credentials out of errors and logs. Some services and proxies repeat in an answer what they were
// sent. What they answer goes through this package before it becomes a text that people read.
//
// It hides as little as it can, so that a message stays readable: a secret of fewer than [Least] bytes is not hidden,
// because such a short word stands in messages by chance, and a secret is hidden only where it is a whole token. So the
// secret "readings" leaves "all_readings" alone. Codes, which programs compare, stay what they are: see [Secrets.Code].
package redact

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Least is how many bytes a secret has at least.
const Least = 8

// Hidden stands in a text in the place of a secret.
const Hidden = "[hidden]"

// Secrets are the credentials of one request.
type Secrets []string

// Basic returns what HTTP basic authentication gives away: the password, and user and password as the header has them.
func Basic(user, password string) Secrets {
	return Secrets{password, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
}

// Authorization returns what the value of an Authorization header gives away: the value, and the value without its scheme.
func Authorization(value string) Secrets {
	_, credentials, _ := strings.Cut(value, " ")
	return Secrets{value, credentials}
}

// Text returns text without the secrets, also where it quotes or escapes them.
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
		if i == 0 || f.from > end { // secrets that overlap or touch are one hidden place
			b.WriteString(text[end:f.from])
			b.WriteString(Hidden)
		}
		end = max(end, f.to)
	}
	b.WriteString(text[end:])
	return b.String()
}

// Code returns what a service calls a failure. What has the form of a code is returned as it is, whatever the secrets are:
// programs compare codes, and a token that is a common word must not change them. Anything else is treated as a text.
func (s Secrets) Code(code string) string {
	if isCode(code) {
		return code
	}
	return s.Text(code)
}

// Error returns err, or an error with the same meaning whose text is without the secrets.
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

// Cause returns the error that err was before its text was changed. It is for classifying a failure: its text has a secret.
func Cause(err error) error {
	var hidden *hiddenError
	if errors.As(err, &hidden) {
		return hidden.err
	}
	return err
}

// A hiddenError answers errors.Is as the error in it does. It has no Unwrap, which would lead to the text with the secret.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string        { return e.text }
func (e *hiddenError) Is(target error) bool { return errors.Is(e.err, target) }

// forms are the ways in which a text writes a secret: as it is, in a quoted string, and in a URL.
func forms(secret string) []string {
	quoted := strconv.Quote(secret)
	all := []string{secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret)}
	slices.Sort(all)
	return slices.Compact(all)
}

// A span is a part of a text.
type span struct{ from, to int }

// appendSpans appends where word stands in text as a whole token.
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

// joinedBefore reports whether a token goes on where text ends. The end of an escape, such as \n in a quoted string or
// %20 in a URL, is no part of a token.
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

// inToken reports whether c joins what stands on both sides of it to one token.
func inToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c >= 0x80
}

// isCode reports whether s is a code: words of lower case, or words of upper case, with underscores between them and
// a letter at the beginning; or a number of up to Least digits.
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
	// Keys in hexadecimal have one case too, and more digits.
	return letterFirst && (lower == 0 || upper == 0) && digits <= 4 && len(s) <= 64
}
