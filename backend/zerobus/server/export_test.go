package server

// What the tests of this package look at from outside.
var (
	AckOf        = acked
	CreatedWith  = created
	NewFieldSet  = newFieldSet
	ParseDetails = parseDetails
	JSONCheck    = (*fieldSet).jsonCheck
)

// ProtoCheck is the check of a PROTO stream, or the status with which the stream is refused.
func ProtoCheck(s *fieldSet, descriptor []byte) (func([]byte) error, error) {
	check, err := s.protoCheck(descriptor)
	if err != nil {
		return nil, refuseSchema("cat.sch.tbl", "", err)
	}
	return check, nil
}

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
