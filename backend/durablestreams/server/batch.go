package server

import "time"

// A batch is the drafts of one round. The changes of one round see each other's drafts. Readers see none of them before the
// vault has made them durable.
type batch struct {
	*engine
	ledger ledger
	now    time.Time
	drafts []*draft
}

// A draft is one stream in a round, in its two states.
type draft struct {
	was    *stream          // as readers see it while the round is under way
	will   state            // as readers will see it once the round is durable
	places map[string]place // how far its producers will be
	units  units            // what the round appends
	fresh  bool             // the stream is made in this round
	touch  bool             // the round renews the TTL
}

func draftOf(s *stream) *draft { return &draft{was: s, will: s.state} }

// info is what will be known of the stream.
func (d *draft) info() Info {
	i := d.was.info()
	i.Tail, i.Closed = d.will.Tail, d.will.Closed
	return i
}

// draft returns the draft of s, and makes one if there is none. A round touches few streams, so a list is quick enough.
func (b *batch) draft(s *stream) *draft {
	if d := b.known(s); d != nil {
		return d
	}
	return b.keep(draftOf(s))
}

func (b *batch) known(s *stream) *draft {
	for _, d := range b.drafts {
		if d.was == s {
			return d
		}
	}
	return nil
}

// keep makes d, as find has returned it, a part of the round.
func (b *batch) keep(d *draft) *draft {
	if b.known(d.was) == nil {
		b.drafts = append(b.drafts, d)
	}
	return d
}

// find returns the stream of that name as it stands in this round, or nil. A stream that has expired is dropped on the way.
// Whoever changes what find returns must keep it.
func (b *batch) find(name string) *draft {
	s := b.names[name]
	for _, d := range b.drafts {
		if d.was.name == name && d.fresh {
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

// alive returns d, or nil if its stream is removed. It drops the stream if the stream has expired. A stream that this round
// touches has not expired: the round would renew its TTL.
func (b *batch) alive(d *draft) *draft {
	if !d.will.Gone && !d.will.removed && !d.touch && !d.fresh {
		b.mu.RLock() // readers change touched and waiting
		expired := d.was.expired(b.now)
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

// drop removes a stream. A stream that has forks is only hidden, because the forks read its data. The last fork that is
// removed takes the hidden stream with it.
func (b *batch) drop(d *draft) {
	if d.will.Refs > 0 {
		d.will.Gone = true
		return
	}
	d.will.removed = true
	if d.was.parent == nil {
		return
	}
	source := b.draft(d.was.parent)
	source.will.Refs--
	if source.will.Refs == 0 && source.will.Gone {
		b.drop(source)
	}
}

// place returns how far a producer has come, this round included.
func (b *batch) place(d *draft, id string) (place, bool, error) {
	if at, ok := d.places[id]; ok {
		return at, true, nil
	}
	if d.fresh {
		return place{}, false, nil
	}
	return b.ledger.place(d.was, id)
}

// store puts data and everything that goes with it into the draft.
func (d *draft) store(a *Append) {
	d.touch = true
	if len(a.Data) > 0 {
		d.units = append(d.units, unit{d.will.Tail, a.Data})
		d.will.Tail += Position(len(a.Data))
	}
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
