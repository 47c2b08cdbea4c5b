package durablestreams

import (
	"net/http"
	"time"

	"github.com/headrace/headrace/internal/backoff"
)

// pauses are the least times from one long-poll to the next while nothing moves. A server with long-polls by the protocol takes
// longer for each answer than the longest pause, and no pause is made. A second between requests costs a server little.
var pauses = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second}

// A pace keeps a reader from asking as fast as it can where long-polls are answered at once: by a cache that holds an old
// answer, or by a gateway that refuses to wait.
type pace struct {
	still int       // answers in a row that did not move the reader
	asked time.Time // when the last long-poll began
}

// pause is how long to wait before the next long-poll.
func (p *pace) pause() time.Duration {
	if p.still == 0 {
		return 0
	}
	return pauses.Delay(p.still, nil) - time.Since(p.asked)
}

// gatewayTimeout reports whether a gateway has given up before the server behind the gateway had an answer.
func gatewayTimeout(status int) bool {
	const timeoutOccurred = 524 // no standard status; Cloudflare sends it
	return status == http.StatusGatewayTimeout || status == http.StatusRequestTimeout || status == timeoutOccurred
}
