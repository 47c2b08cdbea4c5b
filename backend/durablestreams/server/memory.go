package server

import (
	"sort"
	"sync"
)

// Memory is a Storage that loses everything when the process ends. It keeps appended data without copying: a stream
// needs the memory of its bytes, and some 50 bytes more for each append.
type Memory struct{ *engine }

var _ Storage = (*Memory)(nil)

// NewMemory returns an empty Memory.
func NewMemory(opts ...StorageOption) *Memory {
	o := storageOptionsOf(opts)
	o.volatile = true
	v := &memoryVault{places: map[uint64]map[string]place{}}
	return &Memory{&engine{vault: v, options: o, names: map[string]*stream{}}}
}

// Close ends the waiting calls, and makes every later call fail with [ErrStopped]. Close never fails.
func (m *Memory) Close() error {
	m.stop()
	return nil
}

// A memoryVault keeps the producers. The bytes are in the streams. A memoryVault is its own ledger, and the methods of
// the ledger are called with turn held. Every change is a round of its own, because there is no fsync to share.
type memoryVault struct {
	turn   sync.Mutex // held for one change. Lock order: turn before engine.mu
	last   uint64
	places map[uint64]map[string]place
}

// submit makes c in the goroutine of the caller, so turn puts the callers in order. Nothing in a memoryVault can fail.
func (v *memoryVault) submit(c *change) {
	v.turn.Lock()
	defer v.turn.Unlock()
	var err error
	if c.engine.apply(c, v) {
		err = c.engine.seal()
	}
	c.engine.publish(err)
	c.end(err)
}

func (v *memoryVault) newKey() (uint64, error) {
	v.last++
	return v.last, nil
}

func (v *memoryVault) place(s *stream, id string) (place, bool, error) {
	at, ok := v.places[s.key][id]
	return at, ok, nil
}

// write stores only the places of the producers: publish gives the bytes and the state to the stream.
func (v *memoryVault) write(d *draft) error {
	key := d.was.key
	if d.will.removed {
		// The producers go with the stream. Otherwise each removed stream would leave its producers in memory.
		delete(v.places, key)
		return nil
	}
	if len(d.places) > 0 && v.places[key] == nil {
		v.places[key] = map[string]place{}
	}
	for id, at := range d.places {
		v.places[key][id] = at
	}
	return nil
}

func (v *memoryVault) span(s segment, limit Position) (Position, bool, error) {
	// A segment is looked up with the lock, and used without. The list of units in the segment may be older than the
	// stream, and is still whole: see units.
	i := s.units.find(s.from)
	if i < 0 {
		return s.from, false, ErrGone
	}
	next := s.end
	if limit < s.end {
		// The unit with the byte at limit does not fit as a whole, unless it is the first unit: a range holds at least
		// one unit, or a reader would never get past a large append.
		last := s.units[max(s.units.find(limit), i)]
		if next = last.at; next <= s.from {
			next = last.at + Position(len(last.data))
		}
	}
	return min(next, s.end), s.units[i].at == s.from, nil
}

func (v *memoryVault) reader(s segment, next Position) piece {
	i, j := s.units.find(s.from), s.units.find(next-1)
	return s.units[i : j+1]
}

// units are the appends of a stream in memory. A list of units grows or is replaced, but its elements never change. So
// a reader uses its list without the lock.
type units []unit

// find returns the index of the unit with the byte at p.
func (u units) find(p Position) int {
	return sort.Search(len(u), func(i int) bool { return u[i].at > p }) - 1
}

// readAt copies out of as many units as p needs. The caller asks for no byte behind the last unit.
func (u units) readAt(p []byte, at Position) error {
	i := u.find(at)
	for n := 0; n < len(p); i++ {
		k := copy(p[n:], u[i].data[at-u[i].at:])
		n += k
		at += Position(k)
	}
	return nil
}
