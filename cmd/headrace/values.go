package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// bytesCodec returns a codec for encoded values of a content type. Values of JSON are checked: a stream of JSON with a
// broken record would stop every reader at this record. All other types pass as they are, unchecked.
func bytesCodec(contentType string) codec.Codec[[]byte] {
	switch contentType {
	case "application/json":
		return codec.RawJSON()
	case "", "application/octet-stream":
		return codec.Bytes()
	}
	return codec.Func(contentType,
		func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil },
		func(src []byte) ([]byte, error) { return src, nil })
}

// parseOffset reads a place in a stream, for --from and for similar flags. placeForms lists the forms. The forms cannot
// be mixed up: an offset of a store is neither a time nor a duration, and a negative number is no offset.
func parseOffset(s string, now time.Time) (backend.Offset, error) {
	switch s {
	case "start":
		return backend.Earliest, nil
	case "now":
		return backend.Latest, nil
	}
	if last, ok := strings.CutPrefix(s, "-"); ok {
		if n, err := strconv.Atoi(last); err == nil {
			return backend.Last(n), nil
		}
	}
	// A time comes before an offset, because an offset may be any text that begins with a digit.
	if t, ok := parseTime(s, now); ok {
		return backend.AtTime(t), nil
	}
	return printedOffset(s, placeForms)
}

// placeForms are the forms of places for parseOffset.
const placeForms = "start, now, -N (the last N records), an offset as tail prints it, a time (2026-11-29T10:00:00Z) or a duration (1h: an hour ago)"

// printedOffset reads an offset as tail prints it. forms names what the caller takes, for the error. The offsets of every
// store begin with a digit, or with @ if they are relative. Without the check, a word would reach the store, and checkpoint reset would even save the word.
func printedOffset(s, forms string) (backend.Offset, error) {
	if s == "" || s[0] != '@' && (s[0] < '0' || s[0] > '9') {
		return "", fmt.Errorf("%w: %q is no place in a stream: want %s", errUsage, s, forms)
	}
	return backend.Offset(s), nil
}

// parseTime reads a time (RFC 3339), or a duration: 1h means an hour before now. A negative duration would be a time in
// the future, and nobody means that.
func parseTime(s string, now time.Time) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), true
	}
	return time.Time{}, false
}

// stamp formats a time, or returns "-" for no time: a store without times gives the zero time or the beginning of 1970.
// Times are in UTC, so two people who compare what they see mean the same moment, and with milliseconds, because stores
// keep no more.
func stamp(t time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// A line is a record in the form of tail --output json. The names are the interface for programs, and must not change.
type line struct {
	Offset  backend.Offset `json:"offset"`
	Next    backend.Offset `json:"next"`
	Time    string         `json:"time,omitempty"`
	Headers []headerLine   `json:"headers,omitempty"`
	JSON    any            `json:"json,omitempty"`   // the value, if it is JSON
	Text    *string        `json:"text,omitempty"`   // otherwise, if it is text
	Base64  []byte         `json:"base64,omitempty"` // otherwise
}

type headerLine struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// lineOf makes the line of a record. A value of a header that is not UTF-8 loses bytes here, because a string of JSON
// is text.
func lineOf(r *backend.Record) line {
	l := line{Offset: r.Offset, Next: r.Next}
	if !r.Time.IsZero() {
		l.Time = stamp(r.Time)
	}
	for _, h := range r.Headers {
		l.Headers = append(l.Headers, headerLine{h.Name, string(h.Value)})
	}
	switch {
	// JSON stays JSON, so a program reads the value without decoding a string first. The three forms have different
	// names, because text and base64 could not be told apart.
	case json.Valid(r.Value):
		l.JSON = json.RawMessage(r.Value)
	case utf8.Valid(r.Value):
		text := string(r.Value)
		l.Text = &text
	default:
		l.Base64 = r.Value
	}
	return l
}

// indented returns JSON with line breaks, and other values as they are. A record is shown in any case: a value that is
// no JSON is no mistake of the user.
func indented(v []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, v, "", "  ") != nil {
		return v
	}
	return out.Bytes()
}
