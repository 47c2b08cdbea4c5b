package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/headrace/headrace/internal/fault"
)

// A TokenFault is an answer of the OAuth endpoint other than a token, or a token said otherwise. It acts after Skip
// requests, as often as Times says: 0 is once, below 0 for ever.
type TokenFault struct {
	Skip, Times int

	Delay       time.Duration // before the answer
	Drop        bool          // closes the connection instead of answering
	Status      int           // of the answer; 0 is 200
	RetryAfter  string        // the header, verbatim
	ContentType string        // "": application/json
	Body        string        // instead of the token; with a Status and none it is an OAuth error
	ExpiresIn   string        // the JSON of expires_in: `3600`, `"3600"`, `0`; `-` leaves it out
}

// InjectToken puts a fault of the OAuth endpoint to work.
func (s *Server) InjectToken(f TokenFault) *Injection {
	return s.tokens.faults.Inject(fault.Fault[Op, Stage, TokenFault]{Skip: f.Skip, Times: f.Times, Do: f})
}

// due counts a request and returns the fault that strikes it.
func (ts *tokens) due() TokenFault {
	ts.mu.Lock()
	ts.requests++
	ts.mu.Unlock()
	f, _ := ts.faults.Strike(0, "", 0)
	return f
}

// wait waits as long as the fault says, unless ctx ends first.
func (f *TokenFault) wait(ctx context.Context) error {
	if f.Delay <= 0 {
		return nil
	}
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answers returns what the fault says instead of a token, if it does.
func (f *TokenFault) answers() (code int, body []byte, instead bool) {
	code = cmp.Or(f.Status, http.StatusOK)
	if f.Body == "" && code == http.StatusOK {
		return 0, nil, false
	}
	return code, []byte(cmp.Or(f.Body, `{"error":"temporarily_unavailable"}`)), true
}

// expiresIn is the JSON of expires_in, or nil to leave it out.
func (f *TokenFault) expiresIn(life time.Duration) json.RawMessage {
	if f.ExpiresIn == "-" {
		return nil
	}
	return json.RawMessage(cmp.Or(f.ExpiresIn, fmt.Sprint(int(life.Seconds()))))
}
