package server

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
)

// listTokens lists the tokens that the token of the request may see, without their secrets: the server does not know
// them.
func (x *exchange) listTokens() error {
	l, err := x.listing()
	if err != nil {
		return err
	}
	if _, err := x.permit("list-access-tokens", "", ""); err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.catalog.tokens))
	names = slices.DeleteFunc(names, func(id string) bool { return !x.who.root() && !x.who.Scope.AccessTokens.holds(id) })
	names, more := page(names, l.prefix, l.after, l.limit)
	grants := []*grant{}
	for _, id := range names {
		grants = append(grants, s.catalog.tokens[id])
	}
	s.mu.Unlock()
	return x.answer(http.StatusOK, map[string]any{"access_tokens": grants, "has_more": more})
}

// issueToken makes a token. The answer is the only place where the secret ever appears: the server keeps a hash of it.
// The answer leaves only when the token is durable. A token that a crash forgets would be refused later, and nobody
// could say why.
func (x *exchange) issueToken() error {
	var g grant
	if err := x.decode(&g, false); err != nil {
		return err
	}
	if err := x.permitToken("issue-access-token", g.ID); err != nil {
		return err
	}
	if err := g.check(); err != nil {
		return err
	}
	// Without a time of its own, the new token ends with the token of its issuer.
	if !x.who.root() && g.ExpiresAt == nil {
		g.ExpiresAt = x.who.ExpiresAt
	}
	if err := g.checkWithin(x.who); err != nil {
		return err
	}
	secret := "s2_" + rand.Text()
	key := tokenKey(sha256.Sum256([]byte(secret)))
	s := x.srv
	s.mu.Lock()
	if s.catalog.tokens[g.ID] != nil {
		s.mu.Unlock()
		return fail(http.StatusConflict, "resource_already_exists", "access token `%s` exists already: use another id, or revoke the token first", g.ID)
	}
	// The key in the file is the hash and not the id, so that a revoked token stays refused when its id is given out
	// again.
	s.putLocked("token", key, &g)
	s.catalog.tokens[g.ID] = &g
	s.catalog.bySecret[key] = &g
	s.mu.Unlock()
	return x.answer(http.StatusCreated, map[string]string{"access_token": secret})
}

// check refuses a malformed grant, whoever asks. An operation that the server does not know is refused: the token would
// never allow it, and a mistyped word would show only when a program fails.
func (g *grant) check() error {
	if len(g.ID) < 1 || len(g.ID) > 96 {
		return invalid("access token id must be between 1 and 96 bytes")
	}
	if g.AutoPrefixStreams && (g.Scope.Streams == nil || g.Scope.Streams.Prefix == nil) {
		return invalid("auto_prefix_streams requires a stream prefix in the scope")
	}
	for _, op := range g.Scope.Ops {
		if !knownOp(op) {
			return badRequest("bad_json", "unknown operation `%s`", op)
		}
	}
	return nil
}

// permitToken refuses an operation on a token without the right to do so.
func (x *exchange) permitToken(op, id string) error {
	if x.who.root() {
		return nil
	}
	if !x.who.allows(op) || !x.who.Scope.AccessTokens.holds(id) {
		return forbidden("the access token does not permit the operation `%s` on access token `%s`", op, id)
	}
	return nil
}

// revokeToken refuses the token from now on, also after a restart. The hash stays in the catalog without a grant: see
// catalog.bySecret. All hashes with this grant are looked at, because the catalog has no way from an id to its hash;
// revocations are rare.
func (x *exchange) revokeToken(id string) error {
	if err := x.permitToken("revoke-access-token", id); err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	g := s.catalog.tokens[id]
	if g == nil {
		s.mu.Unlock()
		return fail(http.StatusNotFound, "access_token_not_found", "access token `%s` not found", id)
	}
	delete(s.catalog.tokens, id)
	for key, other := range s.catalog.bySecret {
		if other == g {
			s.catalog.bySecret[key] = nil
			s.putLocked("token", key, nil)
		}
	}
	s.mu.Unlock()
	return x.empty(http.StatusNoContent)
}
