package server

// The limits of the protocol.
const (
	maxRecords = 1000    // records in a batch
	maxMetered = 1 << 20 // metered bytes in a batch, and so also in a record
	maxToken   = 36      // bytes of a fencing token and of a request token
	maxFrame   = 2 << 20 // bytes: the flag byte and payload of a frame; also the flag byte and the decompressed payload
	maxPage    = 1000    // entries in a page of a list
	maxWait    = 60      // seconds that a unary read may wait
	maxBody    = 8 << 20 // bytes of a unary request; JSON may use six bytes for each byte of a record

	// minCompressed is the smallest payload that is compressed, in bytes.
	minCompressed = 1024

	// maxSegments bounds the records in a frame, in bytes. It leaves room for the flag byte and a tail.
	maxSegments = maxFrame - 64
)
