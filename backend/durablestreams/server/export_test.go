package server

// What the tests of this package look at from outside.
var (
	SplitJSON = splitJSON
	Messages  = messages
	Cursor    = cursor
	ParseRow  = parseRow
)

// Waiting is how many live readers wait.
func Waiting(h *Handler) int {
	h.live.Lock()
	defer h.live.Unlock()
	return len(h.live.ends)
}
