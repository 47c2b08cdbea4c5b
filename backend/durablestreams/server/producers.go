package server

import "fmt"

// A place is how far a producer has come on one stream: its epoch and its last seq.
type place struct{ epoch, seq int64 }

// admit decides on one batch of a producer. known = false means that the stream has not heard of the producer;
// otherwise at is its place. admit changes nothing: the place moves in the same step as the data. So if the batch is
// refused for another reason, the producer may send the batch again under the same seq.
func admit(at place, known bool, p *Producer) (duplicate bool, err error) {
	switch {
	// A new epoch begins at 0. A higher number means that earlier batches are missing. From a producer that the stream
	// does not know, they may still be on the way over another connection, so the answer is a gap. In a later epoch the
	// producer itself is wrong: it sends no second batch before the first is accepted.
	case !known || p.Epoch > at.epoch:
		if p.Seq != 0 {
			if !known {
				return false, &GapError{Expected: 0, Received: p.Seq}
			}
			return false, fmt.Errorf("%w: a new producer epoch begins at sequence 0", ErrRequest)
		}
		return false, nil
	// A later epoch has taken over. The batch must not be stored even if its sequence would fit: the producer of the
	// later epoch believes that the earlier producer writes nothing more.
	case p.Epoch < at.epoch:
		return false, &StaleEpochError{Epoch: at.epoch}
	// The batch is stored already, and a resend means that its answer was lost. Only the number decides; the bytes are
	// not compared.
	case p.Seq <= at.seq:
		return true, nil
	case p.Seq > at.seq+1:
		return false, &GapError{Expected: at.seq + 1, Received: p.Seq}
	}
	return false, nil
}
