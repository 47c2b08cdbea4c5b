// Package codectest is the conformance suite of codecs: the contract of [codec.Codec] in executable form. A codec joins
// with one line in a test:
//
//	codectest.Run(t, mycodec.New(), value1, value2)
//
// The suite checks that
//
//   - values come back equal, alone and while others are encoded and decoded at the same time;
//   - encoding appends: the bytes already in dst stay, and no byte beyond the capacity of dst is written;
//   - the result of an encoding belongs to the caller with all of its capacity: it shares no memory with the value,
//     with other results or with the codec, even if dst is empty;
//   - on an error the codec returns dst unchanged ([Refuses]);
//   - decoding never writes to src, and a caller who appends to a decoded slice does not write to src either;
//   - a decoded value does not change while later records are decoded, even if the codec pools memory;
//   - records that are cut short or altered never panic;
//   - Format is constant;
//   - a codec that was made outside a testing/synctest bubble works inside a bubble, and outside again.
//
// The suite starts no goroutine that outlives the test.
package codectest
