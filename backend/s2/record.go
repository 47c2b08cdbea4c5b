package s2

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// S2's limits for one append. BatchBytes is metered, and the limit of one record too.
const (
	BatchRecords      = 1000
	BatchBytes        = 1 << 20
	FencingTokenBytes = 36

	// conditionBytes is what a match_seq_num and a fencing token add to an append at most.
	conditionBytes = 11 + 2 + FencingTokenBytes
)

// Metered returns what S2 counts for a record: 8 bytes, 2 for each header, and the bytes of names, values and body. The limits
// and [Range.Bytes] go by it.
func Metered(r *backend.Record) int {
	n := 8 + 2*len(r.Headers) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// size is the door of the sink: what a record counts, or why it cannot be stored.
func size(r *backend.Record) (int, error) {
	for i := range r.Headers {
		if r.Headers[i].Name == "" {
			// Alone it would be a command, and with others S2 refuses it.
			return 0, fmt.Errorf("s2: record has a header without a name: %w", backend.ErrRejected)
		}
	}
	return sizeAny(r)
}

// sizeAny is size for any record, commands included.
func sizeAny(r *backend.Record) (int, error) {
	if s := r.Time.Unix(); wire.HasTime(r) && (s < 0 || s >= math.MaxInt64/1000) {
		return 0, fmt.Errorf("s2: record is of the year %v, which milliseconds since 1970 cannot say: %w", r.Time.Year(), backend.ErrRejected)
	}
	n := Metered(r)
	if n > BatchBytes {
		return n, nil // whoever compares it with the limit names that in the error
	}
	// Many tiny headers take twice as much on the wire as they count.
	if enc := wire.SizeRecord(r) + conditionBytes; enc > s2s.MaxPayload {
		return n, fmt.Errorf("s2: record of %d encoded bytes, at most %d: %w", enc, s2s.MaxPayload, backend.ErrTooLarge)
	}
	return n, nil
}

// limits are S2's for one append, with a door that decides which records may pass: size or sizeAny.
func limits(inFlight int, door func(*backend.Record) (int, error)) backend.Limits {
	return backend.Limits{BatchRecords: BatchRecords, BatchBytes: BatchBytes, RecordBytes: BatchBytes, InFlight: inFlight, Size: door}
}

// checkBatch refuses a batch that the server would refuse, and one that does not fit into a frame.
func checkBatch(recs []backend.Record) error {
	l := limits(0, sizeAny)
	if _, err := l.Check(recs); err != nil {
		return err
	}
	_, err := encodedSize(recs)
	return err
}

// encodedSize returns how many bytes a batch takes at most when it is encoded. It refuses a batch that is within the metered
// limit and still too large for a frame, because it has very many headers.
func encodedSize(recs []backend.Record) (int, error) {
	n := conditionBytes
	for i := range recs {
		n += wire.SizeRecord(&recs[i])
	}
	if n > s2s.MaxPayload {
		return 0, fmt.Errorf("batch of %d encoded bytes, at most %d: %w", n, s2s.MaxPayload, backend.ErrTooLarge)
	}
	return n, nil
}

func checkToken(token string) error {
	if len(token) > FencingTokenBytes {
		return fmt.Errorf("fencing token of %d bytes, at most %d: %w", len(token), FencingTokenBytes, backend.ErrRejected)
	}
	if !utf8.ValidString(token) {
		return fmt.Errorf("fencing token that is no UTF-8: %w", backend.ErrRejected)
	}
	return nil
}

// FenceRecord makes the command that sets a stream's fencing token; an empty one clears it. Append it with
// [Stream.Append], or use [Stream.SetFence].
func FenceRecord(token string) backend.Record { return command("fence", []byte(token)) }

// TrimRecord makes the command that lets S2 delete the records below seqNum, in its own time.
func TrimRecord(seqNum uint64) backend.Record {
	return command("trim", binary.BigEndian.AppendUint64(nil, seqNum))
}

func command(name string, body []byte) backend.Record {
	return backend.Record{Headers: backend.Headers{{Value: []byte(name)}}, Value: body}
}

// Command returns the name of the command that r is: "fence" or "trim", "" when it is none.
func Command(r *backend.Record) string {
	if len(r.Headers) == 1 && r.Headers[0].Name == "" {
		return string(r.Headers[0].Value)
	}
	return ""
}

func isCommand(r *backend.Record) bool { return len(r.Headers) == 1 && r.Headers[0].Name == "" }

// At makes the offset of a sequence number.
func At(seqNum uint64) backend.Offset { return backend.Offset(strconv.FormatUint(seqNum, 10)) }

// at makes the offset of a sequence number in the incarnation that suffix names.
func at(seqNum uint64, suffix string) backend.Offset {
	return backend.Offset(append(strconv.AppendUint(make([]byte, 0, 40), seqNum, 10), suffix...)) // one allocation, not two
}

// SeqNum returns the sequence number that an offset of this backend is: a start such as [backend.Latest] is none, and
// neither is one with leading zeros, since offsets are compared as strings.
func SeqNum(o backend.Offset) (uint64, error) {
	num, incarnation, marked := strings.Cut(string(o), incarnationMark)
	n, err := strconv.ParseUint(num, 10, 64)
	if err != nil || string(At(n)) != num || marked && incarnation == "" {
		return 0, fmt.Errorf("s2: %q is no sequence number: %w", o, backend.ErrOutOfRange)
	}
	return n, nil
}
