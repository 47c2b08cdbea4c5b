package server

import "time"

// A round is a set of changes that are made durable together. The changes of one round see each other's drafts. Readers
// see no draft before the vault has made the round durable; otherwise a crash could take back what a reader has seen.
//
// All methods of a round run on the goroutine of the vault. So a round reads the names and the published state of
// streams without mu, because only publish writes them, on the same goroutine.
type round struct {
	*engine
	ledger ledger
	now    time.Time
	drafts []*draft
}

// A draft is one stream within a round: how readers see the stream now, and how they will see it.
type draft struct {
	was       *stream          // the stream as readers see it during the round
	will      state            // the state that readers will see when the round is durable
	places    map[string]place // the new places of its producers
	units     units            // the appends of this round
	created   bool             // this round creates the stream
	renewsTTL bool             // this round renews the TTL
}

func draftOf(s *stream) *draft { return &draft{was: s, will: s.state} }

// info describes the stream as it will be after the round.
func (d *draft) info() Info {
	i := d.was.infoLocked()
	i.Tail, i.Closed = d.will.Tail, d.will.Closed
	return i
}

// draft returns the draft of s, and makes a draft if the round has none. A round changes few streams, so a search in a
// list is fast enough.
func (b *round) draft(s *stream) *draft {
	if d := b.known(s); d != nil {
		return d
	}
	return b.keep(draftOf(s))
}

// known returns the draft of s if the round has one, and nil otherwise.
func (b *round) known(s *stream) *draft {
	for _, d := range b.drafts {
		if d.was == s {
			return d
		}
	}
	return nil
}

// keep makes d a part of the round. A change calls keep for every draft from find that it changes; otherwise the change
// would be lost.
func (b *round) keep(d *draft) *draft {
	if b.known(d.was) == nil {
		b.drafts = append(b.drafts, d)
	}
	return d
}

// find returns the stream of that name as it is within this round, or nil. If the stream has expired, find drops the
// stream. The draft may not be part of the round yet: see keep.
func (b *round) find(name string) *draft {
	// The published name first, then the streams of this round: two creations of one name can share a round, and the
	// second must find the first.
	s := b.names[name]
	// A stream that this round has created is not among the names before the round is published.
	for _, d := range b.drafts {
		if d.was.name == name && d.created {
			s = d.was
		}
	}
	if s == nil {
		return nil
	}
	if d := b.known(s); d != nil {
		return b.alive(d)
	}
	return b.alive(draftOf(s))
}

// alive returns d, or nil if its stream is removed. If the stream has expired, alive drops the stream. A stream that
// this round changes has not expired, because the round renews its TTL.
func (b *round) alive(d *draft) *draft {
	if !d.will.Hidden && !d.will.removed && !d.renewsTTL && !d.created {
		b.mu.RLock() // readers change touched and waiting
		// An expired stream is dropped before the change looks at it. So a creation after the expiry makes a new stream
		// with a new id, and an append gets 404 and revives nothing.
		expired := d.was.expiredLocked(b.now)
		b.mu.RUnlock()
		if expired {
			b.drop(b.keep(d))
		}
	}
	if d.will.removed {
		return nil
	}
	return d
}

// drop removes a stream. A stream with forks is only hidden, because the forks read its data. When the last fork is
// removed, the hidden stream is removed too.
func (b *round) drop(d *draft) {
	if d.will.Refs > 0 {
		// The data stays, because the forks read it from here.
		d.will.Hidden = true
		return
	}
	d.will.removed = true
	if d.was.parent == nil {
		return
	}
	// The source is part of the round now, because its count of forks changes in the same commit. If the count were
	// written later, a crash in between would keep a hidden source for ever.
	source := b.draft(d.was.parent)
	source.will.Refs--
	if source.will.Refs == 0 && source.will.Hidden {
		b.drop(source)
	}
}

// place returns the place of a producer, including the changes of this round.
func (b *round) place(d *draft, id string) (place, bool, error) {
	if at, ok := d.places[id]; ok {
		return at, true, nil
	}
	// The vault knows nothing of a stream that this round creates. The key is new, but bbolt has no data to look at
	// yet.
	if d.created {
		return place{}, false, nil
	}
	return b.ledger.place(d.was, id)
}

// store adds an append to the draft: the data, and everything that must become durable together with the data.
func (d *draft) store(a *Append) {
	// Every change that is stored counts as a use of the stream, a closing without data too.
	d.renewsTTL = true
	if len(a.Data) > 0 {
		d.units = append(d.units, unit{d.will.Tail, a.Data})
		d.will.Tail += Position(len(a.Data))
	}
	// The place moves together with the data. Two separate commits would leave a gap for a crash: data without its
	// place is stored twice by the resend, and a place without its data loses the batch.
	if a.Producer != nil {
		if d.places == nil {
			d.places = map[string]place{}
		}
		d.places[a.Producer.ID] = place{a.Producer.Epoch, a.Producer.Seq}
	}
	if a.Sequence != "" {
		d.will.Sequence = a.Sequence
	}
	if a.Close {
		d.will.Closed = true
	}
}
