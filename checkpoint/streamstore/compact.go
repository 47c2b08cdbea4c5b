package streamstore

import "context"

// compact drops replaced records, once there are many of them. The newest record of every key must stay. Therefore
// compact first writes the keys again that were not written since the last compaction.
//
// compact trims only records that the compaction before has found replaced. So at least s.every records stay behind the trimmed
// ones. Otherwise another Store could find its newest record trimmed before reading the record, and could not know whether the
// record took effect.
//
// A failed compaction is not reported, because a later compaction does the same work.
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
