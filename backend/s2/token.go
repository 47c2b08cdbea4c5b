package s2

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
)

// A Resources says which names a token is good for: one, or all with a prefix ("" is all).
type Resources struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
}

// Exactly is the one resource of a name.
func Exactly(name string) *Resources { return &Resources{Exact: &name} }

// Under is all resources whose names begin with prefix; "" is all there are.
func Under(prefix string) *Resources { return &Resources{Prefix: &prefix} }

// Access says whether a group of operations is allowed.
type Access struct {
	Read  bool `json:"read"`
	Write bool `json:"write"`
}

// OpGroups allow operations by level.
type OpGroups struct {
	Account *Access `json:"account,omitempty"`
	Basin   *Access `json:"basin,omitempty"`
	Stream  *Access `json:"stream,omitempty"`
}

// A Scope is what an access token may do: the union of Ops and OpGroups, on the resources given. Nil resources are none.
type Scope struct {
	Basins       *Resources  `json:"basins,omitempty"`
	Streams      *Resources  `json:"streams,omitempty"`
	AccessTokens *Resources  `json:"access_tokens,omitempty"`
	OpGroups     *OpGroups   `json:"op_groups,omitempty"`
	Ops          []Operation `json:"ops,omitempty"`
}

// AccessToken describes a token; it is not the secret itself.
type AccessToken struct {
	ID                string     `json:"id"`
	Scope             Scope      `json:"scope"`
	AutoPrefixStreams bool       `json:"auto_prefix_streams,omitempty"` // Scope.Streams must be a prefix
	ExpiresAt         *time.Time `json:"expires_at,omitempty"`          // nil: that of the issuer
}

// AccessTokens iterates over the account's access tokens, by ID.
func (c *Client) AccessTokens(ctx context.Context, l List) iter.Seq2[AccessToken, error] {
	return c.accessTokens().all(ctx, c, l)
}

// AccessTokensPage returns one page of [Client.AccessTokens].
func (c *Client) AccessTokensPage(ctx context.Context, l List) (Page[AccessToken], error) {
	return c.accessTokens().shown(ctx, c, l)
}

func (c *Client) accessTokens() listing[AccessToken] {
	return listing[AccessToken]{
		call:  call{op: "list access tokens", url: c.account.at("", "access-tokens")},
		field: "access_tokens",
		name:  func(t AccessToken) string { return t.ID },
		gone:  func(AccessToken) bool { return false },
	}
}

// IssueAccessToken makes a token and returns the secret, which is never shown again. A failure of unknown outcome is
// [backend.ErrIndeterminate] and not tried again: revoke the token and issue another.
func (c *Client) IssueAccessToken(ctx context.Context, t AccessToken) (secret string, err error) {
	op := "issue access token"
	if err := checkTokenID(t.ID); err != nil {
		return "", fmt.Errorf("s2: %s: %w", op, err)
	}
	body, err := encode(op, t)
	if err != nil {
		return "", err
	}
	out, _, err := fetch[struct {
		AccessToken string `json:"access_token"`
	}](ctx, c, &call{op: op, method: http.MethodPost, url: c.account.at("", "access-tokens"), body: body, once: true})
	return out.AccessToken, err
}

// RevokeAccessToken ends a token. One that is unknown or revoked already is [backend.ErrNotFound].
func (c *Client) RevokeAccessToken(ctx context.Context, id string) error {
	if err := checkTokenID(id); err != nil {
		return fmt.Errorf("s2: revoke access token: %w", err)
	}
	_, err := c.do(ctx, &call{op: "revoke access token " + id, method: http.MethodDelete, url: c.account.at("", "access-tokens", id)})
	return err
}

func checkTokenID(id string) error {
	if len(id) < 1 || len(id) > 96 || id == "." || id == ".." || !utf8.ValidString(id) {
		return fmt.Errorf("access token id: want 1 to 96 bytes of UTF-8, not . or .., got %d: %w", len(id), backend.ErrRejected)
	}
	return nil
}
