package durablestreams

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/headrace/headrace/backend"
)

// unwrap takes an envelope apart. The value keeps its bytes. A message that is not an envelope is the value of a record: to take
// such a message apart would lose members.
func unwrap(message []byte) backend.Record {
	r, ok := unwrapPlain(message)
	if !ok {
		r, ok = unwrapAny(message)
	}
	if !ok {
		return backend.Record{Value: message}
	}
	return r
}

// unwrapPlain takes an envelope without headers apart, in the form in which this package writes envelopes. The decoder of package
// json takes twenty times as long.
func unwrapPlain(message []byte) (r backend.Record, ok bool) {
	const timeAndEnd = len(openTime) + len(envelopeTime) + len(endString)
	value, ok := bytes.CutPrefix(message, []byte(openValue))
	if n := len(value) - timeAndEnd; ok && n > 0 {
		at, ok1 := bytes.CutPrefix(value[n:], []byte(openTime))
		at, ok2 := bytes.CutSuffix(at, []byte(endString))
		t, err := time.Parse(envelopeTime, string(at))
		// The bytes in between may be a value with further members behind it.
		if ok1 && ok2 && err == nil && checkJSON(value[:n]) == "" {
			return backend.Record{Value: value[:n:n], Time: t}, true
		}
	}
	return r, false
}

// unwrapAny takes an envelope apart that may have any form.
func unwrapAny(message []byte) (r backend.Record, ok bool) {
	ok = eachMember(message, func(name string, value json.RawMessage) bool {
		switch {
		case name == "value" && r.Value == nil:
			r.Value = value
		case name == "headers" && r.Headers == nil:
			r.Headers = unwrapHeaders(value)
			return r.Headers != nil
		case name == "time" && r.Time.IsZero():
			// The zero time is not the time of a record.
			return json.Unmarshal(value, &r.Time) == nil && !r.Time.IsZero()
		default:
			return false
		}
		return true
	})
	if len(r.Headers) == 0 {
		r.Headers = nil
	}
	r.Time = r.Time.UTC()
	return r, ok && r.Value != nil && !r.Time.IsZero()
}

// unwrapHeaders returns nil if the headers are not those of an envelope.
func unwrapHeaders(list json.RawMessage) backend.Headers {
	var all []map[string]*string
	if json.Unmarshal(list, &all) != nil || all == nil {
		return nil
	}
	headers := make(backend.Headers, len(all))
	for i, members := range all {
		name, text, encoded := members["name"], members["value"], members["base64"]
		if len(members) != 2 || name == nil || (text == nil) == (encoded == nil) {
			return nil
		}
		headers[i].Name = *name
		if text != nil {
			headers[i].Value = []byte(*text)
			continue
		}
		var err error
		if headers[i].Value, err = base64.StdEncoding.DecodeString(*encoded); err != nil {
			return nil
		}
	}
	return headers
}

// eachMember calls f for each member of a JSON object, until f returns false. eachMember returns false as well if the text is no
// object. A decoder into a struct would also take members whose names differ in case, and the last of two with one name.
func eachMember(object []byte, f func(name string, value json.RawMessage) bool) bool {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil || !f(name.(string), value) {
			return false
		}
	}
	_, err := d.Token()
	return err == nil
}
