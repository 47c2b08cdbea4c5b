package s2

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// The limits of S2 for one append, by S2's documentation. BatchBytes counts metered bytes, and limits a single record too.
const (
	BatchRecords      = 1000
	BatchBytes        = 1 << 20
	FencingTokenBytes = 36

	bytesEach = 8 // that S2 counts for a record beside its content

	// conditionBytes is the most that a match_seq_num and a fencing token add to an encoded append.
	conditionBytes = 11 + 2 + FencingTokenBytes

	// certainToFit is the metered size up to which every record fits into a frame: on the wire a record takes at most twice its
	// metered size, and a few bytes for its time and its lengths.
	certainToFit = (s2s.MaxPayload - conditionBytes - 32) / 2
)

// Metered returns the size of a record as S2 counts it: 8 bytes, 2 for each header, and the bytes of names, values and body.
// The limits and [Range.Bytes] count metered bytes.
func Metered(r *backend.Record) int {
	n := bytesEach + 2*len(r.Headers) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// sizeOfData is sizeOf for the records of producers: sizeOfData refuses command records too.
func sizeOfData(value []byte, headers backend.Headers, at time.Time) (int, error) {
	for i := range headers {
		if headers[i].Name == "" {
			// S2 takes a single header without a name for a command, and refuses several headers with such a header.
			return 0, fmt.Errorf("s2: record has a header without a name: %w", backend.ErrRejected)
		}
	}
	return sizeOf(value, headers, at)
}

// sizeOf returns the metered size of a record, or why S2 cannot store the record. The record may be a command.
func sizeOf(value []byte, headers backend.Headers, at time.Time) (int, error) {
	// Most records have neither headers nor a time. A producer measures each record twice, so these records take the short way.
	if n := bytesEach + len(value); len(headers) == 0 && at.IsZero() && n <= certainToFit {
		return n, nil
	}
	r := &backend.Record{Value: value, Headers: headers, Time: at}
	if s := at.Unix(); wire.HasTime(r) && (s < 0 || s >= math.MaxInt64/1000) {
		return 0, fmt.Errorf("s2: record is of the year %v, which milliseconds since 1970 cannot say: %w", at.Year(), backend.ErrRejected)
	}
	n := Metered(r)
	// Beyond BatchBytes the caller refuses the record, and names the limit in the error. The encoded size takes a pass over the
	// headers of its own. Enqueue and the session would both make that pass, and the encoder makes it anyway.
	if n <= certainToFit || n > BatchBytes {
		return n, nil
	}
	// A record with many tiny headers takes twice its metered size on the wire.
	if enc := wire.SizeRecord(r) + conditionBytes; enc > s2s.MaxPayload {
		return n, fmt.Errorf("s2: record of %d encoded bytes, at most %d: %w", enc, s2s.MaxPayload, backend.ErrTooLarge)
	}
	return n, nil
}

// limits returns the limits of S2 for one append. size is sizeOfData or sizeOf.
func limits(inFlight int, size func([]byte, backend.Headers, time.Time) (int, error)) backend.Limits {
	return backend.Limits{BatchRecords: BatchRecords, BatchBytes: BatchBytes, RecordBytes: BatchBytes, InFlight: inFlight, Size: size}
}

// checkBatch refuses a batch beyond the limits, and a batch too large for a frame.
func checkBatch(recs []backend.Record) error {
	l := limits(0, sizeOf)
	if _, err := l.Check(recs); err != nil {
		return err
	}
	n := conditionBytes
	for i := range recs {
		n += wire.SizeRecord(&recs[i])
	}
	if n > s2s.MaxPayload {
		return tooLargeBatch(n)
	}
	return nil
}

// tooLargeBatch refuses a batch too large for a frame: with very many headers, a batch within the metered limit may exceed the
// limit of a frame.
func tooLargeBatch(n int) error {
	return fmt.Errorf("batch of %d encoded bytes, at most %d: %w", n, s2s.MaxPayload, backend.ErrTooLarge)
}

// checkToken refuses a fencing token beyond the limits of S2.
func checkToken(token string) error {
	if len(token) > FencingTokenBytes {
		return fmt.Errorf("fencing token of %d bytes, at most %d: %w", len(token), FencingTokenBytes, backend.ErrRejected)
	}
	if !utf8.ValidString(token) {
		return fmt.Errorf("fencing token is not UTF-8: %w", backend.ErrRejected)
	}
	return nil
}
