package consumer

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/internal/ahead"
)

// A chunk is the unit in which goroutines hand records over. With large limits, a hand-over costs next to nothing per
// record. With small limits, several decoders share a batch, and the first record of a large batch does not wait for the
// last record. The limits are a compromise.
const (
	chunkRecords = 256
	// chunkBytes may be exceeded by the last record of a chunk, so a single larger record fits too.
	chunkBytes  = 256 << 10
	chunksAhead = 16 // chunks that fit between two stages; the bound that counts in practice is BufferBytes
)

// A chunk is a part of one batch on its way from the reader to the loop. A chunk without records moves the place on, or
// ends the stream.
type chunk[T any] struct {
	first   uint64           // number of the first record
	recs    []backend.Record // shared with the batch of the reader, and never written to
	lent    *lentBatch       // nil if the reader does not want the slice of recs back
	next    backend.Offset   // the place behind the chunk
	start   backend.Offset   // the place that a relative start turned out to be; empty in all chunks but the first
	bytes   int              // charged to the budget
	last    bool             // nothing comes behind this chunk, for the reason err
	err     error            // nil at the end of the stream or at the tail
	arrived time.Time        // when the batch was read

	values []T           // the decoded values, one for each record; zero where decoding failed
	bad    []undecoded   // the records that did not decode, in order
	done   []ahead.Run   // the records that an earlier loop has finished, in order
	ready  chan struct{} // closed when the chunk is decoded; nil when the queue carries decoded chunks only
}

// decode fills values and bad. A record that fails to decode stays in the chunk: the loop decides about the record when
// the record's turn comes.
//
// We store values beside the records, and not messages. The loop builds a message when it hands the message out, so each
// record is copied once only. values is zero at the call.
func (ch *chunk[T]) decode(c codec.Codec[T]) {
	i := 0
	defer func() {
		// In this goroutine nobody can recover, and a panic of the codec would end the process. Therefore we keep the
		// panic. When the loop reaches the record, the loop raises the panic again, in its own goroutine. The records
		// behind are not decoded, because the loop never gets further.
		p := recover()
		if p == nil && i < len(ch.recs) {
			p = errGoexit
		}
		if p != nil {
			// The text names the record now, because the slice of records may have gone back to the reader when the loop
			// comes to the record: an earlier loop may have finished all records behind the one in hand.
			ch.bad = append(ch.bad, undecoded{at: i, panicked: fmt.Sprintf("at record %q: %v\n\n%s", ch.recs[i].Offset, p, debug.Stack())})
		}
	}()
	// Look for the methods once. codec.DecodeRecord would look again at every record.
	withHeaders, _ := c.(codec.HeaderCodec[T])
	into, _ := c.(codec.IntoDecoder[T])
	var next []byte // the bytes of the record at i
	if len(ch.recs) > 0 {
		next = ch.recs[0].Value
	}
	for ; i < len(ch.recs); i++ {
		src := next
		if i+1 < len(ch.recs) {
			// Another core may have written the records, and memory of another core comes late. Ask for the next record before
			// this record is decoded, and the processor does both at the same time.
			next = ch.recs[i+1].Value
		}
		var err error
		switch {
		case withHeaders != nil:
			ch.values[i], err = withHeaders.DecodeRecord(src, ch.recs[i].Headers)
		case into != nil:
			err = into.DecodeInto(&ch.values[i], src)
		default:
			ch.values[i], err = c.Decode(src)
		}
		if err != nil {
			var zero T
			ch.values[i] = zero
			ch.bad = append(ch.bad, undecoded{at: i, err: err})
		}
	}
}
