package backend

import "context"

// A Tailer is a Source that knows the end of its stream without reading all records. The interface is optional, as
// io.WriterTo is: ask with a type assertion.
type Tailer interface {
	// Tail returns the end of the stream, and how much lies between from and the end. from is an offset as for
	// OpenReader, and Tail refuses the same offsets with the same errors.
	Tail(ctx context.Context, from Offset) (Tail, error)
}

// A Tail is the end of a stream at one moment, as seen from a place.
type Tail struct {
	Next Offset // behind the last record; where the next one will be

	// Records and Bytes count the records from the place on, and the bytes of their values. -1: the store cannot tell. S2
	// numbers its command records, which readers do not show, and counts command records here, too.
	Records, Bytes int64
}
