package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/headrace/headrace/internal/fault"
)

// A TokenFault replaces the answer of the OAuth endpoint, or changes how the answer describes the token. It lets Skip
// requests pass, and then acts as often as Times says: 0 means once, a value below 0 means always.
type TokenFault struct {
	Skip, Times int

	Delay       time.Duration // before the answer
	Drop        bool          // closes the connection instead of answering
	Status      int           // of the answer; 0 means 200
	RetryAfter  string        // value of the header Retry-After
	ContentType string        // "" means application/json
	Body        string        // replaces the token; if Body is empty and Status is set, the answer is an OAuth error
	ExpiresIn   string        // the JSON of expires_in, such as `3600`, `"3600"` or `0`; `-` leaves expires_in out
}

// InjectToken adds a fault of the OAuth endpoint.
func (s *Server) InjectToken(f TokenFault) *Injection {
	return s.tokens.faults.Inject(fault.Fault[Op, Stage, TokenFault]{Skip: f.Skip, Times: f.Times, Do: f})
}

// due counts a request and returns the fault that acts on the request.
func (ts *tokens) due() TokenFault {
	ts.mu.Lock()
	ts.requests++
	ts.mu.Unlock()
	// A token request has neither an Op, a table nor a Stage, so every fault fits. Without a fault, the zero
	// TokenFault changes nothing.
	f, _ := ts.faults.Strike(0, "", 0)
	return f
}

// answers returns the answer of the fault. instead is false if the client gets a token. A status of 200 without a body
// leaves the answer to the server, so a fault can also change only the headers or the expires_in of a right answer.
func (f *TokenFault) answers() (code int, body []byte, instead bool) {
	code = cmp.Or(f.Status, http.StatusOK)
	if f.Body == "" && code == http.StatusOK {
		return 0, nil, false
	}
	return code, []byte(cmp.Or(f.Body, `{"error":"temporarily_unavailable"}`)), true
}

// expiresIn returns the JSON of expires_in, or nil if the answer must not have the field. It is raw JSON, because
// clients meet numbers, quoted numbers, 0 and fractions there, and must take the odd ones for a token without a known
// end.
func (f *TokenFault) expiresIn(life time.Duration) json.RawMessage {
	if f.ExpiresIn == "-" {
		return nil
	}
	return json.RawMessage(cmp.Or(f.ExpiresIn, fmt.Sprint(int(life.Seconds()))))
}
