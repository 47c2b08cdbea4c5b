package httpwire

import (
	"net/http"
	"strconv"
	"time"
)

// LongestWait is the most that a client waits because a server asks it to. Servers ask for seconds, or for minutes during
// maintenance. A longer wait is nearly always a mistake, such as a date by a clock that is wrong, and a client that
// believed it would stand still for days. A client that asks once an hour does no harm to a server that did mean more.
const LongestWait = time.Hour

// RetryAfter returns how long a response asks to wait before the next attempt, at most [LongestWait], and 0 when the
// response does not say. It reads Retry-After-Ms, which S2 sends, and otherwise Retry-After in both of its forms: seconds,
// or a date.
func RetryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseInt(h.Get("Retry-After-Ms"), 10, 64); err == nil && ms > 0 {
		return time.Duration(min(ms, LongestWait.Milliseconds())) * time.Millisecond
	}
	v := h.Get("Retry-After")
	if s, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Duration(min(max(s, 0), int64(LongestWait.Seconds()))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), LongestWait)
	}
	return 0
}
