package server

import "fmt"

// A place is how far a producer has come on one stream: its epoch and its last seq.
type place struct{ epoch, seq int64 }

// admit decides on one batch of a producer. known = false means that the stream has not heard of the producer;
// otherwise at is its place. admit changes nothing: the place moves in the same step as the data. So if the batch is
// refused for another reason, the producer may send the batch again under the same seq.
func admit(at place, known bool, p *Producer) (duplicate bool, err error) {
	switch {
	case !known || p.Epoch > at.epoch:
		if p.Seq != 0 {
			if !known {
				return false, &GapError{Expected: 0, Received: p.Seq}
			}
			return false, fmt.Errorf("%w: a new producer epoch begins at sequence 0", ErrRequest)
		}
		return false, nil
	case p.Epoch < at.epoch:
		return false, &StaleEpochError{Epoch: at.epoch}
	case p.Seq <= at.seq:
		return true, nil
	case p.Seq > at.seq+1:
		return false, &GapError{Expected: at.seq + 1, Received: p.Seq}
	}
	return false, nil
}
