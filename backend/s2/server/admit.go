package server

// admitLocked returns the refusal of a batch that the stream may not store: the stream is deleted, or the batch has a wrong key,
// a wrong fencing token or a wrong position. The order of the checks decides which refusal the client sees.
func (s *stream) admitLocked(in *input) error {
	// A session opened before the deletion must not store records, because nobody could ever read these records.
	if !s.deletedAt.IsZero() {
		return streamDeleting(s.basin, s.name)
	}
	// The key is checked here again, and not only at the beginning of the request: two sessions with different keys may
	// both be open before the first batch, and then the first batch decides.
	if err := s.checkKeyLocked(in.key); err != nil {
		return err
	}
	// The token is checked before the position. A writer that has lost the stream to another writer must hear of the
	// fence: a wrong position alone would look as if the writer could go on behind it. An input without a token passes,
	// because S2's fencing is cooperative.
	if in.hasToken && string(in.token) != s.fence {
		return tokenMismatch(s.fence)
	}
	// The position is compared with next and not with tail. Two batches that expect the same position could otherwise
	// both get a place while the first is on its way to the disk.
	if in.hasMatch && in.match != s.next.SeqNum {
		return seqMismatch(s.next.SeqNum)
	}
	return nil
}
