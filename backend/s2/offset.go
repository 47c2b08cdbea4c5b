package s2

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/records"
)

// At makes the offset of a sequence number.
func At(seqNum uint64) backend.Offset { return backend.Offset(strconv.FormatUint(seqNum, 10)) }

// offsetIn makes the offset of a sequence number in an incarnation of the stream: At with a suffix. offsetIn costs one allocation.
// A concatenation of At and suffix would cost two, for each ack.
func offsetIn(seqNum uint64, suffix string) backend.Offset {
	return backend.Offset(append(strconv.AppendUint(make([]byte, 0, 40 /* 20 digits and a suffix */), seqNum, 10), suffix...))
}

// SeqNum returns the sequence number in an offset of this backend. A start such as [backend.Latest] has no sequence number.
// SeqNum also refuses leading zeros: offsets are compared as strings, and a place must have a single spelling.
func SeqNum(o backend.Offset) (uint64, error) {
	num, incarnation, marked := strings.Cut(string(o), incarnationMark)
	n, err := strconv.ParseUint(num, 10, 64)
	if err != nil || string(At(n)) != num || marked && incarnation == "" {
		return 0, fmt.Errorf("s2: offset %q has no sequence number: %w", o, backend.ErrOutOfRange)
	}
	return n, nil
}

// setOffsets gives the records of a batch their offsets. All offsets end with suffix.
func setOffsets(b *wire.Batch, suffix string) {
	if b.Seqs == nil {
		records.SetOffsets(b.Records, b.First, suffix)
		return
	}
	for i := range b.Records { // the sequence numbers have gaps, and gaps are rare
		b.Records[i].Offset, b.Records[i].Next = offsetIn(b.Seqs[i], suffix), offsetIn(b.Seqs[i]+1, suffix)
	}
}
