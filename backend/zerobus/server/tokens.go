package server

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/headrace/headrace/internal/fault"
)

type tokens struct {
	cfg *config

	faults fault.Set[Op, Stage, TokenFault]

	mu       sync.Mutex // guards the fields below
	valid    map[string]grant
	requests int64
	issued   int64
	kept     []TokenRequest
}

type grant struct {
	table   string
	expires time.Time
}

func (ts *tokens) init(cfg *config) { ts.cfg, ts.valid = cfg, map[string]grant{} }

// RevokeTokens makes all issued tokens invalid. Open streams go on, as they do at the service.
func (s *Server) RevokeTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	clear(s.tokens.valid)
}

func (ts *tokens) counts() (requests, issued int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.requests, ts.issued
}

// check checks the authorization header of a stream on a table.
func (ts *tokens) check(authorization, table string) error {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" {
		return status.Error(codes.Unauthenticated, "no bearer token")
	}
	if ts.cfg.AnyToken || slices.Contains(ts.cfg.Tokens, token) {
		return nil
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch g, ok := ts.valid[token]; {
	case !ok:
		return status.Error(codes.Unauthenticated, "invalid token")
	case !time.Now().Before(g.expires):
		return status.Error(codes.Unauthenticated, "token has expired")
	case g.table != table:
		return status.Errorf(codes.PermissionDenied, "token is not for table %q", table)
	}
	return nil
}

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
