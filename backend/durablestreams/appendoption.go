package durablestreams

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/headrace/headrace/backend"
)

// An AppendOption is an option of [Stream.Append], [Stream.SealWith] and [Stream.SealRecords].
type AppendOption func(*appending)

// appending holds the options of an append.
type appending struct {
	header http.Header
	wrong  error
}

// Sequence makes the server refuse the append with [ErrSequence] unless v is greater, byte by byte, than the Sequence of every
// append before. It is the protocol's Stream-Seq, for writers without knowledge of each other: the late writer is refused. "10" is
// less than "9".
func Sequence(v string) AppendOption {
	return func(a *appending) { a.header.Set("Stream-Seq", v) }
}

// Identity makes the append known to the server as number seq of a producer's epoch. The first number of each epoch is 0. The
// server stores an identity once, whatever the body of a later append holds ([Info.Duplicate]). An append with an identity is
// therefore tried again when its answer was lost, and another process may repeat the append. A gap is an [*Error] with the
// expected sequence, a stale epoch an [*Error] with the current epoch. epoch and seq are at most 2^53-1.
func Identity(id string, epoch, seq int64) AppendOption {
	return func(a *appending) {
		if id == "" || epoch < 0 || epoch > maxNumber || seq < 0 || seq > maxNumber {
			a.wrong = fmt.Errorf("%w: Identity(%.80q, %d, %d): the id must not be empty, epoch and seq are 0 to 2^53-1", backend.ErrRejected, id, epoch, seq)
			return
		}
		a.header.Set("Producer-Id", id)
		a.header.Set("Producer-Epoch", strconv.FormatInt(epoch, 10))
		a.header.Set("Producer-Seq", strconv.FormatInt(seq, 10))
	}
}

// appendHeader makes the headers of an append.
func appendHeader(contentType string, opts []AppendOption) (http.Header, error) {
	a := appending{header: http.Header{}}
	if contentType != "" {
		a.header.Set("Content-Type", contentType)
	}
	for _, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("%w: %w", backend.ErrRejected, errNilOption)
		}
		o(&a)
	}
	return a.header, a.wrong
}
