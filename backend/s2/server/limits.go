package server

// The limits of the protocol.
//
// They come from the specification of S2. Its client libraries check most of them before they send, so a request beyond
// a limit is a mistake of the client. The server refuses such a request as a whole, because a batch is stored whole or
// not at all.
const (
	maxRecords = 1000    // records in a batch
	maxMetered = 1 << 20 // metered bytes in a batch, and so also in a record
	maxToken   = 36      // bytes of a fencing token and of a request token
	maxFrame   = 2 << 20 // bytes: the flag byte and payload of a frame; also the flag byte and the decompressed payload
	maxPage    = 1000    // entries in a page of a list
	maxWait    = 60      // seconds that a unary read may wait
	maxBody    = 8 << 20 // bytes of a unary request; JSON may use six bytes for each byte of a record

	// maxBehind is how many bytes of batches a follower may keep in memory, beside what it is sending: 32 batches of the
	// largest size. It is no limit of S2.
	maxBehind = 32 << 20

	// minCompressed is the smallest payload that is compressed, in bytes. S2 gives this number for frames and for
	// answers. Below it, compression costs more time on both sides than the network saves.
	minCompressed = 1024

	// maxSegments bounds the records in a frame, in bytes. The 64 bytes are for the flag byte and a tail, whose two
	// numbers need at most 24 bytes. A batch that fills a frame to the last byte could not name the tail, and the
	// client would never hear that it has caught up.
	maxSegments = maxFrame - 64
)
