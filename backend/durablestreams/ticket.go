package durablestreams

import "fmt"

// A ticket is the epoch and the sequence under which a batch is sent, and what is known about them at that moment.
type ticket struct {
	epoch, seq int64
	standing   standing
	ordered    bool // the batch behind this one starts when the request of this one was written
}

// A standing is what the appender knows about a batch and its epoch before it sends the batch.
type standing uint8

const (
	// epochOurs: the server has accepted a batch in this epoch, or no other producer has the id.
	epochOurs standing = iota

	// epochUnconfirmed: nothing in this epoch was accepted, and the epoch may not be given up for a later one: the caller has
	// chosen it, or the server has accepted an earlier epoch of this producer.
	epochUnconfirmed

	// epochContested: the server has accepted nothing of this producer. If another producer has the epoch, this one takes a
	// later epoch.
	epochContested

	// mayBeStored: the batch was sent before under the same sequence, and its fate is unknown. This comes before all other
	// standings: an answer may be about the earlier request.
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

// take gives the batch its ticket, unless the session has ended: then the epoch may already be that of the next session.
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
	b.sent = true
	a.highest = max(a.highest, t.seq)
	return t, true
}
