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

// unitAt returns the index of the unit that holds the byte at p.
func (s *stream) unitAt(p Position) int {
	return sort.Search(len(s.units), func(i int) bool { return s.units[i].at > p }) - 1
}

func (v *memoryVault) span(s *stream, from, limit, end Position) (Position, bool, error) {
	i := s.unitAt(from)
	if i < 0 {
		return from, false, ErrGone
	}
	next := end
	if limit < end {
		j := max(s.unitAt(limit), i)
		if next = s.units[j].at; next <= from {
			next = s.units[j].at + Position(len(s.units[j].data))
		}
	}
	return min(next, end), s.units[i].at == from, nil
}

func (v *memoryVault) reader(s *stream, from, end Position) piece {
	i, j := s.unitAt(from), s.unitAt(end-1)
	return units(s.units[i : j+1 : j+1])
}

// units are never written again, so readers go without a lock.
type units []unit

func (u units) readAt(p []byte, at Position) error {
	i := sort.Search(len(u), func(i int) bool { return u[i].at > at }) - 1
	for n := 0; n < len(p); i++ {
		k := copy(p[n:], u[i].data[at-u[i].at:])
		n += k
		at += Position(k)
	}
	return nil
}
