package backend

import "context"

// A Tailer is a Source that can say where its stream ends without reading up to there. It is optional, as io.WriterTo
// is: ask with a type assertion.
type Tailer interface {
	// Tail returns where the stream ends now, and how much lies between from and there. from is what OpenReader takes,
	// and Tail refuses what OpenReader refuses, with the same errors.
	Tail(ctx context.Context, from Offset) (Tail, error)
}

// A Tail is the end of a stream at one moment, as seen from a place.
type Tail struct {
	Next Offset // behind the last record; where the next one will be

	// Records and Bytes are what lies from the place on: records, and bytes of their values. -1: the store cannot tell.
	// A store that counts records which readers do not show, as S2 counts its command records, counts them here too.
	Records, Bytes int64
}
