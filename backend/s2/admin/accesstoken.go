package admin

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/internal/names"
)

// An AccessToken describes an access token, without the secret.
type AccessToken struct {
	ID                string     `json:"id"`
	Scope             Scope      `json:"scope"`
	AutoPrefixStreams bool       `json:"auto_prefix_streams,omitempty"` // Scope.Streams must be a prefix; S2 puts it before names
	ExpiresAt         *time.Time `json:"expires_at,omitempty"`          // nil: at the expiry of the issuing token
}

// AccessTokens iterates over the account's access tokens, by ID. The loop fetches a page at a time. After an error
// the loop ends.
func (a *Admin) AccessTokens(ctx context.Context, l List) iter.Seq2[AccessToken, error] {
	return a.accessTokens().all(ctx, l)
}

// AccessTokensPage returns one page of [Admin.AccessTokens].
func (a *Admin) AccessTokensPage(ctx context.Context, l List) (Page[AccessToken], error) {
	return a.accessTokens().first(ctx, l)
}

func (a *Admin) accessTokens() listing[AccessToken] {
	return listing[AccessToken]{
		client:  a.client,
		request: s2.Request{Op: "list access tokens", Path: []string{"access-tokens"}},
		field:   "access_tokens",
		name:    func(t AccessToken) string { return t.ID },
		deleted: func(AccessToken) bool { return false },
	}
}

// IssueAccessToken makes a token and returns the secret. S2 never shows the secret again. After a failure with
// [backend.ErrIndeterminate] the token may exist: revoke the token and issue another.
func (a *Admin) IssueAccessToken(ctx context.Context, t AccessToken) (secret string, err error) {
	const op = "issue access token"
	if err := names.CheckTokenID(t.ID); err != nil {
		return "", refused(op, err)
	}
	out, err := call[struct {
		AccessToken string `json:"access_token"`
	}](ctx, a.client, s2.Request{Op: op, Method: http.MethodPost, Path: []string{"access-tokens"}, Body: t, Once: true})
	return out.AccessToken, err
}

// RevokeAccessToken ends a token. An unknown or revoked token is [backend.ErrNotFound].
func (a *Admin) RevokeAccessToken(ctx context.Context, id string) error {
	if err := names.CheckTokenID(id); err != nil {
		return refused("revoke access token", err)
	}
	_, err := a.client.Call(ctx, s2.Request{Op: "revoke access token " + id, Method: http.MethodDelete, Path: []string{"access-tokens", id}}, nil)
	return err
}
