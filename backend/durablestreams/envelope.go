package durablestreams

import (
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
)

// Envelope puts each record of a JSON stream into an object, to keep the headers and the time of the record:
//
//	{"value":…,"headers":[{"name":"a","value":"text"},{"name":"b","base64":"/wA="}],"time":"2026-03-04T05:06:07.000000008Z"}
//
// The value stays unchanged JSON. A header has a value, or base64 if its bytes are not UTF-8. A record without headers has no
// member headers. A record without a time gets the time of the sending.
//
// Readers with this option take the object apart again. Any other message, without a value or a time or with further members,
// comes unchanged. Readers without the option and other clients see the objects. The option changes only JSON streams, because
// other streams have room for headers and times.
func Envelope() StreamOption { return func(c *streamConfig) { c.envelope = true } }

// envelopeTime has one length for all times, so the size of a record is known before the sending.
const envelopeTime = "2006-01-02T15:04:05.000000000Z"

// The parts of an envelope, in the order of writing.
const (
	openValue, openHeaders, openTime = `{"value":`, `,"headers":[`, `,"time":"`
	openName, openText, openBase64   = `{"name":"`, `","value":"`, `","base64":"`
	endString                        = `"}`

	envelopeRoom = len(openValue) + len(openTime) + len(envelopeTime) + len(endString) + len("[]") // beside the value and headers
)

// encodingOf says how records of a format become the body of a request to this stream.
func (s *Stream) encodingOf(f backend.Format) encoding {
	e := encodingOf(f)
	if s.config.envelope && e.contentType == jsonType {
		e.check, e.size, e.body = checkEnvelope, meterEnvelope, bodyEnvelopes
	}
	return e
}

func checkEnvelope(value []byte, headers backend.Headers, at time.Time) error {
	for _, h := range headers {
		if !utf8.ValidString(h.Name) {
			return fmt.Errorf("durablestreams: %w: the name of a header is not UTF-8", backend.ErrRejected)
		}
	}
	if y := at.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("durablestreams: %w: RFC 3339 has no time in the year %d", backend.ErrRejected, y)
	}
	return checkMessage(value, nil, at)
}

// sizeEnvelope counts the envelope and the comma or bracket behind the envelope.
func sizeEnvelope(r *backend.Record) int {
	n := len(openValue) + len(r.Value) + len(openTime) + len(envelopeTime) + len(endString) + 1
	if len(r.Headers) == 0 {
		return n
	}
	n += len(openHeaders) + len(r.Headers) // a comma or the bracket behind each
	for _, h := range r.Headers {
		n += len(openName) + quotedLen(h.Name) + len(endString)
		if utf8.Valid(h.Value) {
			n += len(openText) + quotedLen(h.Value)
		} else {
			n += len(openBase64) + base64.StdEncoding.EncodedLen(len(h.Value))
		}
	}
	return n
}

func meterEnvelope(value []byte, headers backend.Headers, at time.Time) (int, error) {
	return sizeEnvelope(&backend.Record{Value: value, Headers: headers, Time: at}), nil
}

func bodyEnvelopes(dst []byte, recs []backend.Record) []byte {
	// One time for the whole batch: a resend must have the same bytes.
	now, sep := time.Now(), byte('[')
	for i := range recs {
		// Headers take more than the room asked for here, and count in the guess for the records behind.
		dst = grow(dst, len(recs[i].Value)+envelopeRoom, i, len(recs))
		dst = appendEnvelope(append(dst, sep), &recs[i], now)
		sep = ','
	}
	return append(dst, ']')
}

func appendEnvelope(dst []byte, r *backend.Record, now time.Time) []byte {
	dst = append(append(dst, openValue...), r.Value...)
	for i, h := range r.Headers {
		if i == 0 {
			dst = append(dst, openHeaders...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendQuoted(append(dst, openName...), h.Name)
		if utf8.Valid(h.Value) {
			dst = appendQuoted(append(dst, openText...), h.Value)
		} else {
			dst = base64.StdEncoding.AppendEncode(append(dst, openBase64...), h.Value)
		}
		dst = append(dst, endString...)
	}
	if len(r.Headers) > 0 {
		dst = append(dst, ']')
	}
	if !r.Time.IsZero() {
		now = r.Time
	}
	dst = now.UTC().AppendFormat(append(dst, openTime...), envelopeTime)
	return append(dst, endString...)
}

// appendQuoted appends s as the inside of a JSON string, without the quotes.
func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// quotedLen is how many bytes appendQuoted appends.
func quotedLen[S string | []byte](s S) int {
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	return n
}
