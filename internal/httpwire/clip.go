package httpwire

import "strings"

// TextBytes is how many bytes of a foreign text stand in an error. A proxy may answer with a whole page, and a page would fill
// the log. The longest explanations of the stores have several hundred bytes.
const TextBytes = 1 << 10

// Clip returns s, or the first [TextBytes] of a longer s and an ellipsis. Clip does not cut a character in two. Hide
// secrets before the call: redaction does not recognize half a secret.
func Clip(s string) string {
	if len(s) > TextBytes {
		return strings.ToValidUTF8(s[:TextBytes], "") + "…"
	}
	return s
}
