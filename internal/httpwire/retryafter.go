package httpwire

import (
	"net/http"
	"strconv"
	"time"
)

// LongestWait is the longest wait that a client accepts from a server. Servers ask for seconds, or for minutes during maintenance.
// A longer wait is nearly always a mistake, for example a date from a wrong clock, and would stop the client for days. If the
// server did mean a longer wait, a request each hour does no harm.
const LongestWait = time.Hour

// RetryAfter returns how long a response asks to wait before the next attempt, at most [LongestWait], and 0 without such a
// header. S2 sends Retry-After-Ms. The header Retry-After of HTTP has two forms, seconds and a date, and RetryAfter reads both.
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
