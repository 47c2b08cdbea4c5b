// Package codectest is the conformance suite of codecs: the contract of [codec.Codec] in executable form. A codec joins
// with one line in a test:
//
//	codectest.Run(t, mycodec.New(), value1, value2)
//
// The suite checks the following:
//
//   - values come back equal, alone and while other values are encoded and decoded at the same time;
//   - encoding appends: the bytes already in dst stay, and no byte beyond the capacity of dst is written;
//   - the result of an encoding belongs to the caller with all of its capacity, and shares no memory with the value,
//     with other results or with the codec, even if dst is empty;
//   - on an error the codec returns dst unchanged ([Refuses]);
//   - decoding never writes to src, and a caller who appends to a decoded slice does not write to src either;
//   - a decoded value does not change while later records are decoded, even if the codec pools memory;
//   - a [codec.IntoDecoder] decodes as Decode does, and its values do not refer to the memory that the caller lends;
//   - records cut short or altered never make the codec panic;
//   - Format is constant;
//   - a codec made outside a testing/synctest bubble works inside a bubble, and outside again.
//
// All goroutines of the suite end with the test.
package codectest
