package server

// The limits of the protocol.
const (
	maxRecords = 1000    // records in a batch
	maxMetered = 1 << 20 // metered bytes in a batch, and so in a record
	maxToken   = 36      // bytes of a fencing token and of a request token
	maxFrame   = 2 << 20 // flag byte and payload of a frame; also a decompressed payload and its flag byte
	maxPage    = 1000    // entries of a list page
	maxWait    = 60      // seconds a unary read waits
	maxBody    = 8 << 20 // bytes of a unary request: JSON may spell each byte of a record in six

	// minCompressed is the size from which a payload is worth compressing.
	minCompressed = 1024

	// maxSegments leaves room in a frame for the flag byte and a tail.
	maxSegments = maxFrame - 64
)
