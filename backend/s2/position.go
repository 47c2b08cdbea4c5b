package s2

// A Position is a place in a stream and the time of the record there, in milliseconds since the epoch.
type Position struct {
	SeqNum    uint64 `json:"seq_num"`
	Timestamp uint64 `json:"timestamp"`
}
