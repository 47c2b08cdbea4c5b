package zerobustest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
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

// InjectToken adds a fault of the OAuth endpoint.
func (s *Server) InjectToken(f TokenFault) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.faults = append(s.tokens.faults, &f)
}

// due counts a request and returns the fault that acts on it.
func (ts *tokens) due() TokenFault {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.requests++
	var found *TokenFault
	for i := 0; i < len(ts.faults); i++ {
		f := ts.faults[i]
		switch {
		case f.Skip > 0:
			f.Skip--
		case found == nil:
			found = f
			if f.Times == 0 || f.Times == 1 {
				ts.faults = append(ts.faults[:i:i], ts.faults[i+1:]...)
				i--
			} else if f.Times > 1 {
				f.Times--
			}
		}
	}
	if found == nil {
		return TokenFault{}
	}
	return *found
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
