// Package codec turns values of a Go type into the bytes of a record and back. It is where T stops: below a codec
// everything is []byte.
//
// # Contract
//
// A [Codec] is what a producer is given to write with and a consumer to read with. It is made once and used from many
// goroutines at once; it starts no goroutine and does no I/O. Encoding appends, so that a producer can reuse its memory
// and a value costs no allocation. What an encoding returns therefore belongs to the caller, and is never memory of the
// value: whoever appends the next value to it would write over this one. Decoding may alias: the bytes of a record are
// never written again, so a codec may return a value that points into them ([Bytes] does).
//
// An error refuses one value and nothing else: the producer fails that value's call, the consumer stops before that
// record with a DecodeError. No codec here replaces, truncates or drops what it cannot represent.
//
// [RawJSON], [Bytes] and [String] take what is encoded already. Codecs of your own join with [Func] or by implementing the interface; the suite in codec/codectest is the executable
// form of this page. Decorators ([Validate], those of codec/compress) wrap a codec in another.
//
// # JSON
//
// [JSON] uses github.com/go-json-experiment/json, the module that is encoding/json/v2 in current Go releases. Struct
// tags, MarshalJSON, MarshalText and their counterparts work as ever. These differences from encoding/json can be seen
// in the bytes or in what is accepted:
//
//   - Member names match by case when decoding: "ID" does not fill `json:"id"`. Tag a field with `case:ignore` to be lenient.
//   - An object that has a name twice is refused; encoding/json lets the last one win.
//   - Strings that are not valid UTF-8 are refused, both ways; encoding/json replaces the bad bytes with U+FFFD.
//   - A nil slice encodes as [], a nil map as {}, a nil []byte as "": encoding/json writes null. All of them accept null
//     when decoding and are nil then.
//   - `omitempty` omits what encodes as null, "", [] or {}, whatever its Go type. So 0 and false stay, and a struct without
//     members goes. `omitzero` omits Go zero values and means the same in both.
//   - <, >, &, U+2028 and U+2029 are written as they are; encoding/json escapes them.
//   - [N]byte encodes as base64 like []byte; encoding/json writes an array of numbers. Base64 with line breaks is refused.
//   - A JSON array must have exactly the N elements of a Go [N]T; encoding/json pads and truncates.
//   - `string` is for fields that are a number, and an error on others; encoding/json takes it on a bool and a string,
//     and ignores it elsewhere.
//   - Methods with a pointer receiver are always called; encoding/json skips them on values it cannot address.
//   - Times must be strict RFC 3339: encoding/json also takes a comma before the fraction or an hour of one digit.
//   - json.Number of encoding/json is the plain string type that it is, and encodes as a string.
//
// These are the same in both: map members are sorted by name, so that equal values have equal bytes; a [time.Duration]
// is a number of nanoseconds (the engine by itself refuses it); unknown members are ignored; numbers in an any are
// float64; anything but white space behind the value is refused. No newline is written behind a value.
package codec
