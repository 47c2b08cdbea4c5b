package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestAccessTokens(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, false), s2test.Token("the-root"))
	c := dial(t, srv)
	_, err := c.Basin(basinName).CreateStream(ctx, "tenant/s", s2.StreamConfig{})
	check(t, err)
	exact, prefix := basinName, "tenant/"
	expiry := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	secret, err := c.IssueAccessToken(ctx, admin.AccessToken{ID: "reader 1", AutoPrefixStreams: true, ExpiresAt: &expiry, Scope: admin.Scope{
		Basins: &admin.Resources{Exact: &exact}, Streams: &admin.Resources{Prefix: &prefix}, OpGroups: &admin.OpGroups{Stream: &admin.Access{Read: true}}, Ops: []admin.Operation{"append"}}})
	check(t, err)
	tokens := all(t, c.AccessTokens(ctx, admin.List{}))
	if len(tokens) != 1 || tokens[0].ID != "reader 1" || !tokens[0].AutoPrefixStreams || !tokens[0].ExpiresAt.Equal(expiry) || *tokens[0].Scope.Streams.Prefix != prefix {
		t.Errorf("listed %+v", tokens)
	}

	tenant, err := s2.New(s2.Config{Token: secret, AccountEndpoint: srv.URL(), BasinEndpoint: srv.URL()})
	check(t, err)
	defer tenant.Close()
	put(t, tenant.Basin(basinName).Stream("s"), "x") // that is tenant/s
	if tail, err := srv.Client().Basin(basinName).Stream("tenant/s").CheckTail(ctx); err != nil || tail.SeqNum != 1 {
		t.Errorf("the tail is at %+v, %v", tail, err)
	}
	_, err = admin.New(tenant).Basin(basinName).CreateStream(ctx, "mine", s2.StreamConfig{})
	want(t, err, backend.ErrUnauthorized)

	check(t, c.RevokeAccessToken(ctx, "reader 1"))
	want(t, c.RevokeAccessToken(ctx, "reader 1"), backend.ErrNotFound)
	_, err = tenant.Basin(basinName).Stream("s").CheckTail(ctx)
	want(t, err, backend.ErrUnauthorized)
	for _, bad := range []string{"", ".", "..", strings.Repeat("x", 97)} {
		_, err = c.IssueAccessToken(ctx, admin.AccessToken{ID: bad})
		want(t, err, backend.ErrRejected)
		want(t, c.RevokeAccessToken(ctx, bad), backend.ErrRejected)
	}
}

func TestResourcesOfAToken(t *testing.T) {
	if r := admin.Exactly("a"); r.Prefix != nil || *r.Exact != "a" {
		t.Errorf("%+v", r)
	}
	if r := admin.Under("a"); r.Exact != nil || *r.Prefix != "a" {
		t.Errorf("%+v", r)
	}
}
