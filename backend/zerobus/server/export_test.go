package server

// What the tests of this package look at from outside.
var (
	AckOf        = acked
	CreatedWith  = created
	NewFieldSet  = newFieldSet
	ParseDetails = parseDetails
	ProtoCheck   = (*fieldSet).protoCheck
	JSONCheck    = (*fieldSet).jsonCheck
)

type (
	FrameCodec = frameCodec
	Frame      = frame
)

// Bytes is what a frame holds.
func (f *frame) Bytes() []byte { return f.msg }

// Parser returns a function that parses requests, and uses its memory again.
func Parser() func(msg []byte) error {
	var req request
	return req.parse
}
