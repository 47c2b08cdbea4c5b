package server

import "time"

// A batch is the drafts of one commit. Changes of one group see each other's drafts; readers see none of them before the
// vault has made them durable.
type batch struct {
	*engine
	ledger ledger
	now    time.Time
	drafts []*draft
}

// A draft is a stream as it will be.
type draft struct {
	*stream
	state  // shadows the stream's
	places map[string]place
	units  units
	fresh  bool // made in this batch
	touch  bool
}

func (d *draft) info() Info {
	i := d.stream.info()
	i.Tail, i.Closed = d.Tail, d.Closed
	return i
}

// draft returns the draft of s. A group touches few streams, so that a list does.
func (b *batch) draft(s *stream) *draft {
	for _, d := range b.drafts {
		if d.stream == s {
			return d
		}
	}
	return b.keep(&draft{stream: s, state: s.state})
}

// keep makes d, as find returned it, a part of the batch.
func (b *batch) keep(d *draft) *draft {
	for _, known := range b.drafts {
		if known == d {
			return d
		}
	}
	b.drafts = append(b.drafts, d)
	return d
}

// find returns the stream of that name as it stands in this batch, or nil. One that has expired is dropped on the way. Who
// changes what it returns must keep it.
func (b *batch) find(name string) *draft {
	s := b.names[name]
	for _, d := range b.drafts {
		if d.name == name && d.fresh {
			s = d.stream
		}
	}
	if s == nil {
		return nil
	}
	for _, d := range b.drafts {
		if d.stream == s {
			return b.alive(d)
		}
	}
	return b.alive(&draft{stream: s, state: s.state})
}

// alive drops d if it has expired.
func (b *batch) alive(d *draft) *draft {
	if !d.Gone && !d.removed && !d.touch && !d.fresh {
		b.mu.RLock() // touched and waiting are the readers' too
		expired := d.expired(b.now)
		b.mu.RUnlock()
		if expired {
			b.drop(b.keep(d))
		}
	}
	if d.removed {
		return nil
	}
	return d
}

// drop deletes a stream, or hides it for as long as it has forks.
func (b *batch) drop(d *draft) {
	if d.Refs > 0 {
		d.Gone = true
		return
	}
	d.removed = true
	if d.parent == nil {
		return
	}
	source := b.draft(d.parent)
	source.Refs--
	if source.Refs == 0 && source.Gone {
		b.drop(source)
	}
}

// place returns how far a producer has come, this batch included.
func (b *batch) place(d *draft, id string) (place, bool, error) {
	if at, ok := d.places[id]; ok {
		return at, true, nil
	}
	if d.fresh {
		return place{}, false, nil
	}
	return b.ledger.place(d.stream, id)
}

// store puts data and everything that goes with it into the draft.
func (d *draft) store(a *Append) {
	d.touch = true
	if len(a.Data) > 0 {
		d.units = append(d.units, unit{d.Tail, a.Data})
		d.Tail += Position(len(a.Data))
	}
	if a.Producer != nil {
		if d.places == nil {
			d.places = map[string]place{}
		}
		d.places[a.Producer.ID] = place{a.Producer.Epoch, a.Producer.Seq}
	}
	if a.Sequence != "" {
		d.Sequence = a.Sequence
	}
	if a.Close {
		d.Closed = true
	}
}
