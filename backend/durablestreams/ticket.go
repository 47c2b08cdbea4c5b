package durablestreams

import "fmt"

// A ticket is the epoch and the sequence for one sending of a batch, and the standing of the batch at the moment.
type ticket struct {
	epoch, seq int64
	standing   standing
	ordered    bool // the batch behind starts when the request of this batch was written
}

// A standing is the appender's knowledge of a batch and its epoch before the sending.
type standing uint8

const (
	// epochOurs: the server has accepted a batch of ours in this epoch, or no other producer has the id.
	epochOurs standing = iota

	// epochUnconfirmed: the server has accepted nothing in this epoch, and the producer may not try a later epoch. Either the
	// caller has chosen the epoch, or the server has accepted an earlier epoch of this producer.
	epochUnconfirmed

	// epochContested: the server has accepted nothing of this producer. If another producer has the epoch, this producer takes a
	// later epoch.
	epochContested

	// mayBeStored: the batch was sent before under the same sequence, and the fate is unknown. mayBeStored hides the other
	// standings, because an answer may be about the earlier request.
	mayBeStored

	standings
)

func (s standing) String() string {
	names := [standings]string{"epoch ours", "epoch unconfirmed", "epoch contested", "may be stored"}
	if s < standings {
		return names[s]
	}
	return fmt.Sprintf("standing %d", uint8(s))
}

// take gives the batch its ticket. After the end of the session there is no ticket, because the epoch may already belong to the
// next session.
func (c *conn) take(b *batch) (t ticket, ok bool) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.life.Err() != nil {
		return t, false
	}
	t = ticket{epoch: a.epoch, seq: int64(b.seq - a.base), ordered: a.window.ordered}
	switch {
	case b.sent || t.seq <= a.highestEarlier:
		t.standing = mayBeStored
	case a.randomID || a.epochAccepted:
		t.standing = epochOurs
	case a.placeAccepted || a.epochGiven:
		t.standing = epochUnconfirmed
	default:
		t.standing = epochContested
	}
	// sent is set before the request leaves. If it were set after the answer, a request without an answer would look as
	// if it had never been made.
	b.sent = true
	a.highest = max(a.highest, t.seq)
	return t, true
}
