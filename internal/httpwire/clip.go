package httpwire

import "strings"

// TextBytes is how much of a text that somebody else wrote stands in an error. A proxy may answer with a whole page, which
// would fill a log. The longest explanations that stores send have several hundred bytes.
const TextBytes = 1 << 10

// Clip returns s, or the first [TextBytes] of a longer s and an ellipsis. It does not cut a character in two. Hide secrets
// before the call: redaction does not recognise half a secret.
func Clip(s string) string {
	if len(s) > TextBytes {
		return strings.ToValidUTF8(s[:TextBytes], "") + "…"
	}
	return s
}
