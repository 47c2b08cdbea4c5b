package server

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// Read batches are written as JSON by hand: bytes are written in one of two formats, and base64 needs no escaping. The
// package encoding/json would need a struct for each record and a copy of its bytes. Other answers are small, and use
// encoding/json.

const hex = "0123456789abcdef"

// appendString appends b as a JSON string in the format f. In raw text, bytes that are not UTF-8 are replaced by U+FFFD
// and so are lost. S2 defines the loss, and clients with other bytes ask for base64. Breaking the string off, or an
// error, would make a stream unreadable for everybody because of one record.
func (f format) appendString(dst, b []byte) []byte {
	dst = append(dst, '"')
	if f == base64F {
		dst = base64.StdEncoding.AppendEncode(dst, b)
		return append(dst, '"')
	}
	for len(b) > 0 {
		c := b[0]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		// JSON allows no control character in a string, and no shorter escapes are needed: every reader knows \u00XX.
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(b)
			dst = utf8.AppendRune(dst, r) // U+FFFD if b does not begin with a rune
			b = b[n:]
			continue
		}
		b = b[1:]
	}
	return append(dst, '"')
}

func (p position) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"seq_num":`...)
	dst = strconv.AppendUint(dst, p.SeqNum, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendUint(dst, p.Timestamp, 10)
	return append(dst, '}')
}

// appendJSON writes the batch as a ReadBatch. Absent headers, an empty body and an absent tail are left out, as S2
// does. The numbers are written in full: a client must read them as 64-bit integers.
func (b *batch) appendJSON(dst []byte, f format, tail *position) ([]byte, error) {
	dst = append(dst, `{"records":[`...)
	var headers []header
	first := true
	for _, seg := range b.segs {
		for len(seg) > 0 {
			r, rest, err := next(seg, &headers)
			if err != nil {
				return nil, err
			}
			seg = rest
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(dst, `{"seq_num":`...)
			dst = strconv.AppendUint(dst, r.seq, 10)
			dst = append(dst, `,"timestamp":`...)
			dst = strconv.AppendUint(dst, r.ts, 10)
			for i, h := range r.headers {
				if i == 0 {
					dst = append(dst, `,"headers":[`...)
				} else {
					dst = append(dst, ',')
				}
				dst = f.appendString(append(dst, '['), h.name)
				dst = f.appendString(append(dst, ','), h.value)
				dst = append(dst, ']')
			}
			if len(r.headers) > 0 {
				dst = append(dst, ']')
			}
			if len(r.body) > 0 {
				dst = f.appendString(append(dst, `,"body":`...), r.body)
			}
			dst = append(dst, '}')
		}
	}
	dst = append(dst, ']')
	if tail != nil {
		dst = tail.appendJSON(append(dst, `,"tail":`...))
	}
	return append(dst, '}'), nil
}
