package batcher

// A Cause says why a batch was ended.
type Cause uint8

const (
	CauseFull   Cause = iota + 1 // records, bytes or the budget held the next element back
	CauseLinger                  // its time was up
	CauseWanted                  // somebody waits for it and nothing else is on its way
	CauseFlush
	CauseClose
)

func (c Cause) String() string {
	switch c {
	case CauseFull:
		return "full"
	case CauseLinger:
		return "linger"
	case CauseWanted:
		return "wanted"
	case CauseFlush:
		return "flush"
	case CauseClose:
		return "close"
	}
	return "unknown"
}
