package zerobus

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// secrets are what an attempt was made with. Services and proxies that repeat what they were sent, in what they say of it,
// must not bring that into errors and logs.
type secrets []string

// basic is what HTTP's basic authentication makes known, as it is and as it is sent.
func basic(user, password string) secrets {
	return secrets{password, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
}

// hide removes the secrets from a text, also where it quotes them.
func (all secrets) hide(text string) string {
	var found []string
	for _, s := range all {
		quoted := strconv.Quote(s)
		for _, form := range []string{s, quoted[1 : len(quoted)-1]} {
			if form != "" && strings.Contains(text, form) {
				found = append(found, form)
			}
		}
	}
	if len(found) == 0 {
		return text
	}
	// Of two that begin at the same place the longer is the one to hide.
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range found {
		pairs = append(pairs, s, "[hidden]")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// redact hides the secrets in the text of an error. Nothing of ours puts them there, so the error is nearly always returned
// as it is.
func (all secrets) redact(err error) error {
	if err == nil {
		return nil
	}
	whole := err.Error()
	if text := all.hide(whole); text != whole {
		return &redacted{text: text, err: err}
	}
	return err
}

// A redacted error is still what it was to errors.Is. It has no Unwrap, which would lead to the text.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string        { return r.text }
func (r *redacted) Is(target error) bool { return errors.Is(r.err, target) }
