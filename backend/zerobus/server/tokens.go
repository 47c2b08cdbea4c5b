package server

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/internal/fault"
)

// tokens holds the tokens that the OAuth endpoint has issued, and its latest requests.
type tokens struct {
	cfg *config

	faults fault.Set[Op, Stage, TokenFault]

	mu       sync.Mutex // guards the fields below
	valid    map[string]grant
	requests int64
	issued   int64
	kept     []TokenRequest
}

// A grant says where a token is valid, and until when. The service binds a token to one table by authorization_details:
// a token for another table is worth nothing.
type grant struct {
	table   string
	expires time.Time
}

func (ts *tokens) init(cfg *config) { ts.cfg, ts.valid = cfg, map[string]grant{} }

// RevokeTokens makes all issued tokens invalid. Open streams go on, as they do at the service. The tokens of the Config
// stay valid, because the operator has given them.
func (s *Server) RevokeTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	// The requests and counters stay: a test counts the tokens that clients get afterwards.
	clear(s.tokens.valid)
}

func (ts *tokens) counts() (requests, issued int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.requests, ts.issued
}

// check checks the authorization header of a stream on a table. As at the service, only the opening of a stream checks
// the token: a stream goes on after its token has expired or was revoked. The texts do not contain the token. An
// unknown token and a revoked token are the same to a client: the client gets a new token and tries again.
func (ts *tokens) check(authorization, table string) error {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" {
		return refuse(codes.Unauthenticated, table, `no bearer token: send the header "authorization: Bearer TOKEN"`)
	}
	if ts.cfg.AnyToken || slices.Contains(ts.cfg.Tokens, token) {
		return nil
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch g, ok := ts.valid[token]; {
	// A new token helps against the first two refusals. Against the third, only other privileges help, so the code
	// differs.
	case !ok:
		return refuse(codes.Unauthenticated, table, "invalid token: this server did not issue the token, or has revoked the token: get a new token")
	case !time.Now().Before(g.expires):
		return refuse(codes.Unauthenticated, table, "the token has expired: get a new token")
	case g.table != table:
		return refuse(codes.PermissionDenied, table, "the token is not for this table: get a token with privileges on the table")
	}
	return nil
}

// issue makes a token for a table. The token is random and says nothing: only this server can check the token. Two
// requests get two tokens, as at the service: a client that does not keep its token asks once for every stream.
func (ts *tokens) issue(table string) string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.issued++
	if len(ts.valid)%1024 == 1023 { // drop expired tokens now and then, or a server that runs for days would keep all of them
		maps.DeleteFunc(ts.valid, func(_ string, g grant) bool { return !time.Now().Before(g.expires) })
	}
	token := rand.Text()
	ts.valid[token] = grant{table: table, expires: time.Now().Add(ts.cfg.TokenLife)}
	return token
}
