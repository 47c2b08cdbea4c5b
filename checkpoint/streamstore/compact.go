package streamstore

import "context"

// compact drops what newer records have replaced, once there is much of it. The newest record of every key must stay, so
// it writes those keys again that were not written since the last compaction.
//
// It trims only what was old at the last compaction already, so that at least every records stay. Otherwise another Store
// could find its newest record trimmed before it has read it, and could not know whether the record took effect.
//
// A failure harms nobody: a later compaction does the same.
func (s *Store) compact(ctx context.Context) {
	if s.trim == nil || s.read-s.compacted < max(s.every, 2*len(s.keys)) {
		return
	}
	for key, k := range s.keys {
		if k.no <= s.compacted {
			if _, err := s.write(ctx, key, k.checkpoint()); err != nil {
				return
			}
		}
	}
	if s.cut != "" && s.trim(ctx, s.cut) != nil {
		return
	}
	oldest := s.read + 1
	for _, k := range s.keys {
		if k.no < oldest {
			oldest, s.cut = k.no, k.place
		}
	}
	s.compacted = s.read
}
