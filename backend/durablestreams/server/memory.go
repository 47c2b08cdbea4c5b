package server

import "sort"

// Memory is a Storage that forgets everything with the process. Appended data is kept as it came, without copying, so that
// a stream takes the memory of its bytes and some 50 more an append.
type Memory struct{ *engine }

var _ Storage = (*Memory)(nil)

// NewMemory makes an empty Memory.
func NewMemory(opts ...StorageOption) *Memory {
	o := storageOptionsOf(opts)
	o.volatile = true
	return &Memory{newEngine(&memoryVault{places: map[uint64]map[string]place{}}, o)}
}

// Close ends those who wait, and refuses every later call with [ErrStopped]. It never fails.
func (m *Memory) Close() error {
	m.stop()
	return nil
}

// memoryVault keeps the producers; the bytes are in the streams. It is its own ledger: nothing in it can fail, so there is
// nothing to roll back.
type memoryVault struct {
	last   uint64
	places map[uint64]map[string]place
}

func (v *memoryVault) begin() (ledger, error) { return v, nil }

func (v *memoryVault) newKey() (uint64, error) {
	v.last++
	return v.last, nil
}

func (v *memoryVault) place(s *stream, id string) (place, bool, error) {
	at, ok := v.places[s.key][id]
	return at, ok, nil
}

func (v *memoryVault) commit(drafts []*draft) error {
	for _, d := range drafts {
		if d.removed {
			delete(v.places, d.key)
			continue
		}
		if len(d.places) > 0 && v.places[d.key] == nil {
			v.places[d.key] = map[string]place{}
		}
		for id, at := range d.places {
			v.places[d.key][id] = at
		}
	}
	return nil
}

func (v *memoryVault) rollback() {}

func (v *memoryVault) span(s segment, limit Position) (Position, bool, error) {
	i := s.units.find(s.from)
	if i < 0 {
		return s.from, false, ErrGone
	}
	next := s.end
	if limit < s.end {
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

// units are the appends of a stream in memory. They are added to and replaced, but never written again, so a reader that
// has a list goes on without the lock.
type units []unit

// find returns the index of the unit that holds the byte at p.
func (u units) find(p Position) int {
	return sort.Search(len(u), func(i int) bool { return u[i].at > p }) - 1
}

func (u units) readAt(p []byte, at Position) error {
	i := u.find(at)
	for n := 0; n < len(p); i++ {
		k := copy(p[n:], u[i].data[at-u[i].at:])
		n += k
		at += Position(k)
	}
	return nil
}
