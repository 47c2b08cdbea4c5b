// Package codec turns values of a Go type into the bytes of a record and back. Above a codec there is T; below a codec
// everything is []byte.
//
// # Contract
//
// A producer writes with a [Codec], and a consumer reads with a [Codec]. A codec is made once and used from many goroutines at
// the same time; a codec starts no goroutine and does no I/O. Encoding appends, so that a producer can reuse its memory and a
// value costs no allocation. The result of an encoding belongs to the caller and is never memory of the value; otherwise the
// caller would overwrite the value when it appends the next value. Decoding may alias: the bytes of a record are never written
// again, so a codec may return a value that points into the record ([Bytes] does).
//
// An error refuses a single value: the producer fails the call of the value, and the consumer stops before the record with a
// DecodeError. No codec in this package replaces, truncates or drops a part of a value that it cannot represent.
//
// [RawJSON], [Bytes] and [String] take values that are encoded already. Make a codec of your own with [Func], or implement the
// interface; the suite in codec/codectest is the executable form of this page. Decorators ([Validate], and the codecs of
// codec/compress) wrap a codec in another codec. [Union] and [Envelope] put messages of several types on one stream.
//
// # JSON
//
// [JSON] uses github.com/go-json-experiment/json, the module behind encoding/json/v2 in current Go releases. Struct tags,
// MarshalJSON, MarshalText and their counterparts work as in encoding/json. The following differences from encoding/json are
// visible in the bytes or in the accepted input:
//
//   - Member names match by case when decoding: "ID" does not fill `json:"id"`. Tag a field with `case:ignore` to be lenient.
//   - An object with a repeated name is refused; encoding/json takes the last value.
//   - Strings that are not valid UTF-8 are refused, both ways; encoding/json replaces the bad bytes with U+FFFD.
//   - A nil slice encodes as [], a nil map as {}, a nil []byte as "": encoding/json writes null. All of them accept null
//     when decoding and are nil then.
//   - `omitempty` omits a value that encodes as null, "", [] or {}, of any Go type. So 0 and false stay, and a struct without
//     members is omitted. `omitzero` omits Go zero values and means the same in both.
//   - <, >, &, U+2028 and U+2029 are written as they are; encoding/json escapes them.
//   - [N]byte encodes as base64 like []byte; encoding/json writes an array of numbers. Base64 with line breaks is refused.
//   - A JSON array must have exactly the N elements of a Go [N]T; encoding/json pads and truncates.
//   - `string` is for number fields, and an error on other fields; encoding/json accepts `string` on a bool and a string, and
//     ignores `string` elsewhere.
//   - Methods with a pointer receiver are always called; encoding/json skips them on values it cannot address.
//   - Times must be strict RFC 3339: encoding/json also takes a comma before the fraction or an hour of one digit.
//   - json.Number of encoding/json is a plain string type here, and encodes as a string.
//
// These are the same in both: map members are sorted by name, so that equal values have equal bytes; a [time.Duration]
// is a number of nanoseconds (the engine by itself refuses it); unknown members are ignored; numbers in an any are
// float64; anything but white space behind the value is refused. No newline is written behind a value.
package codec
