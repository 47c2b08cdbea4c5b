package producer

// An EncodeError means: the codec cannot write the value, so nothing was accepted. A service that answers requests can tell a bad
// value of its caller (status 400) from a store that cannot be reached (status 503).
type EncodeError struct {
	Err error // the error of the codec
}

func (e *EncodeError) Error() string { return "the value cannot be encoded: " + e.Err.Error() }

// Unwrap returns the error of the codec.
func (e *EncodeError) Unwrap() error { return e.Err }
