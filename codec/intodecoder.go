package codec

// An IntoDecoder is a [Codec] that can write a decoded value into memory of the caller: [JSON] is. Decode alone would copy the value
// two times more, out of the memory of the engine and into the memory of the caller. A consumer uses DecodeInto wherever its codec
// has it.
type IntoDecoder[T any] interface {
	Codec[T]

	// DecodeInto is Decode with the result in *dst. The caller passes a zero *dst, and may copy and overwrite *dst afterwards.
	// After an error, *dst is zero.
	DecodeInto(dst *T, src []byte) error
}
