// Package codectest is the conformance suite of codecs: the contract of [codec.Codec] in executable form. A codec joins
// with one line in a test:
//
//	codectest.Run(t, mycodec.New(), value1, value2)
//
// The suite checks that
//
//   - values come back equal, alone and while others are encoded and decoded at the same time;
//   - encoding appends: what dst held stays, nothing beyond its capacity is written;
//   - the result of an encoding belongs to the caller with all of its capacity: it shares no memory with the value, with
//     other results or with the codec, also where dst is empty;
//   - on an error dst comes back as it was given ([Refuses]);
//   - decoding never writes to src, nor does anyone who appends to what it returned;
//   - a value stays as it is while later records are decoded, whatever memory is pooled;
//   - records that are cut short or altered never panic;
//   - Format is constant;
//   - a codec made outside a testing/synctest bubble works inside one, and outside again.
//
// It starts no goroutine that outlives the test.
package codectest
