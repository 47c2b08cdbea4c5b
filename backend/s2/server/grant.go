package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A grant is an access token that the server has issued: what the token may do, where, and until when. A nil grant may
// do everything.
//
// A grant never changes after its token was issued, so requests use it without a lock. A revocation takes the grant out
// of the catalog; a request at work, and a session that is open, keep the rights with which they began.
type grant struct {
	ID                string     `json:"id"`
	Scope             scope      `json:"scope"`
	AutoPrefixStreams bool       `json:"auto_prefix_streams"`
	ExpiresAt         *time.Time `json:"expires_at"`
}

type scope struct {
	Basins       *resourceSet `json:"basins"`
	Streams      *resourceSet `json:"streams"`
	AccessTokens *resourceSet `json:"access_tokens"`
	OpGroups     *opGroups    `json:"op_groups"`
	Ops          []string     `json:"ops"`
}

type opGroups struct {
	Account *readWrite `json:"account"`
	Basin   *readWrite `json:"basin"`
	Stream  *readWrite `json:"stream"`
}

type readWrite struct {
	Read  bool `json:"read"`
	Write bool `json:"write"`
}

// A resourceSet holds one name, or all names with a prefix. If Exact is "", the set is empty.
type resourceSet struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
}

func (r *resourceSet) holds(name string) bool {
	switch {
	case r == nil:
		return false
	// The empty prefix holds every name, and the empty exact name holds nothing. S2 defines both.
	case r.Prefix != nil:
		return strings.HasPrefix(name, *r.Prefix)
	case r.Exact != nil:
		return *r.Exact != "" && *r.Exact == name
	}
	return false
}

// covers reports whether r holds every name that other holds. An empty set is covered by every set, because it grants
// nothing.
func (r *resourceSet) covers(other *resourceSet) bool {
	switch {
	case other == nil || other.Prefix == nil && (other.Exact == nil || *other.Exact == ""):
		return true
	case r == nil:
		return false
	// A prefix holds names without end. Only a shorter or equal prefix covers a prefix.
	case other.Prefix != nil:
		return r.Prefix != nil && strings.HasPrefix(*other.Prefix, *r.Prefix)
	}
	return r.holds(*other.Exact)
}

// groups holds the read and write operations of the three levels: account, basin, stream. The documents of S2 disagree
// about the level of the get-*-config operations, so both levels grant them.
var groups = [3]struct{ read, write []string }{
	{
		read:  []string{"list-basins", "list-access-tokens", "account-metrics", "get-basin-config", "list-locations", "get-default-location"},
		write: []string{"create-basin", "delete-basin", "reconfigure-basin", "issue-access-token", "revoke-access-token", "set-default-location"},
	},
	{
		read:  []string{"list-streams", "get-basin-config", "basin-metrics", "get-stream-config"},
		write: []string{"create-stream", "delete-stream", "reconfigure-stream"},
	},
	{
		read:  []string{"get-stream-config", "check-tail", "read", "stream-metrics"},
		write: []string{"append", "trim", "fence"},
	},
}

// knownOp reports whether S2 has an operation with this name.
func knownOp(op string) bool {
	for _, g := range groups {
		if slices.Contains(g.read, op) || slices.Contains(g.write, op) {
			return true
		}
	}
	return false
}

func (g *grant) root() bool { return g == nil }

// allows reports whether the grant contains the operation, independent of the resource. A group is only a short form
// for a list of operations, and the two add up.
func (g *grant) allows(op string) bool {
	if g.root() || slices.Contains(g.Scope.Ops, op) {
		return true
	}
	if g.Scope.OpGroups == nil {
		return false
	}
	for i, rw := range []*readWrite{g.Scope.OpGroups.Account, g.Scope.OpGroups.Basin, g.Scope.OpGroups.Stream} {
		if rw != nil && (rw.Read && slices.Contains(groups[i].read, op) || rw.Write && slices.Contains(groups[i].write, op)) {
			return true
		}
	}
	return false
}

// prefix is the prefix that the server adds to the stream names in requests with this token. Such a token sees its part
// of a basin as if the part were the whole, so one program can serve several tenants.
func (g *grant) prefix() string {
	if g.root() || !g.AutoPrefixStreams {
		return ""
	}
	// The pointer is never nil here, because a token with this flag is issued only with a prefix of streams.
	return *g.Scope.Streams.Prefix
}

// authenticate returns the grant of a token. A nil grant may do everything. The server compares hashes of tokens. So a
// comparison takes the same time for every token and tells an attacker nothing, and the server keeps no issued secret.
func (s *Server) authenticate(header string) (*grant, error) {
	secret, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || secret == "" {
		return nil, fail(http.StatusUnauthorized, "authn", "the request has no access token: send the header `authorization: Bearer TOKEN`")
	}
	sum := sha256.Sum256([]byte(secret))
	// The configured token works without the catalog. An operator can always repair the rights of the issued tokens.
	// Both sides of the comparison have the length of a hash. The time of a comparison of the tokens themselves could
	// tell their length.
	if s.cfg.Token != "" {
		want := sha256.Sum256([]byte(s.cfg.Token))
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
			return nil, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, issued := s.catalog.bySecret[tokenKey(sum)]
	switch {
	case g != nil && (g.ExpiresAt == nil || s.now().Before(*g.ExpiresAt)):
		return g, nil
	// A revoked token must stay refused even if the Config accepts every token.
	case issued:
		return nil, fail(http.StatusUnauthorized, "authn", "the access token is revoked or has expired: use a new token")
	case s.cfg.Token == "":
		return nil, nil
	}
	return nil, fail(http.StatusUnauthorized, "authn", "this server does not know the access token")
}

func tokenKey(sum [32]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:]) }

// permit refuses an operation that the token may not do. Otherwise it returns the full name of the stream, with the
// prefix of the token. The prefix is added before the check, so a token with a prefix can name no stream outside of it.
// The error has the name from the request: the prefix is the operator's affair, and the client does not know it.
func (x *exchange) permit(op, basin, stream string) (string, error) {
	g := x.who
	if g.root() {
		return stream, nil
	}
	name := stream
	if stream != "" {
		name = g.prefix() + stream
	}
	switch {
	case !g.allows(op):
		return "", forbidden("the access token does not permit the operation `%s`", op)
	case basin != "" && !g.Scope.Basins.holds(basin):
		return "", forbidden("the access token does not permit basin `%s`", basin)
	case stream != "" && !g.Scope.Streams.holds(name):
		return "", forbidden("the access token does not permit stream `%s` in basin `%s`", stream, basin)
	}
	return name, nil
}

// checkWithin refuses a grant that allows more than its issuer may do, in resources, operations or time. Otherwise a
// token could give itself more rights. The comparison is by content: every operation that the new token allows must be
// allowed to its issuer, and every name that it holds must be held. S2 answers 403 to anything else.
func (g *grant) checkWithin(issuer *grant) error {
	if issuer.root() {
		return nil
	}
	ok := issuer.Scope.Basins.covers(g.Scope.Basins) && issuer.Scope.Streams.covers(g.Scope.Streams) &&
		issuer.Scope.AccessTokens.covers(g.Scope.AccessTokens)
	// The operations are compared one by one, because a group and a list of single operations may mean the same.
	for _, level := range groups {
		for _, op := range slices.Concat(level.read, level.write) {
			ok = ok && (!g.allows(op) || issuer.allows(op))
		}
	}
	// A token without an end would outlive its issuer.
	if issuer.ExpiresAt != nil {
		ok = ok && g.ExpiresAt != nil && !g.ExpiresAt.After(*issuer.ExpiresAt)
	}
	if !ok {
		return forbidden("the new access token would have more rights than the access token of the request")
	}
	return nil
}
