package s2_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// all collects a listing.
func all[T any](t testing.TB, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func names[T any](t testing.TB, seq iter.Seq2[T, error], name func(T) string) (out []string) {
	t.Helper()
	for _, v := range all(t, seq) {
		out = append(out, name(v))
	}
	return out
}

func wantNames(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func want(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%v, want %v", err, kind)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBasinsFromCreationToDeletion(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.PurgeAfter(time.Hour))
	c := dial(t, srv)
	off, on := false, true
	info, err := c.CreateBasin(ctx, "first-basin", s2.NewBasin{Location: "aws:eu-north-1", Config: &s2.BasinConfig{
		CreateStreamOnAppend: true, DefaultStreamConfig: &s2.StreamConfig{Retention: &s2.Retention{Age: 90 * time.Second}}}})
	check(t, err)
	if info.Name != "first-basin" || info.Location != "aws:eu-north-1" || info.CreatedAt.IsZero() || info.Deleting() {
		t.Errorf("created %+v", info)
	}
	_, err = c.CreateBasin(ctx, "first-basin", s2.NewBasin{})
	want(t, err, backend.ErrConflict)
	for _, bad := range []string{"", "short", "Upper-case", "-hyphen-first", "hyphen-last-", strings.Repeat("x", 49), "a/../b-c-d"} {
		_, err = c.CreateBasin(ctx, bad, s2.NewBasin{})
		want(t, err, backend.ErrRejected)
		want(t, c.DeleteBasin(ctx, bad), backend.ErrRejected)
	}

	if _, p, err := c.EnsureBasin(ctx, "second-basin", s2.NewBasin{}); err != nil || p != s2.Created {
		t.Errorf("ensured a new one: %q, %v", p, err)
	}
	if _, p, err := c.EnsureBasin(ctx, "second-basin", s2.NewBasin{}); err != nil || p != s2.Unchanged {
		t.Errorf("ensured the same: %q, %v", p, err)
	}
	if _, p, err := c.EnsureBasin(ctx, "second-basin", s2.NewBasin{Config: &s2.BasinConfig{CreateStreamOnRead: true}}); err != nil || p != s2.Updated {
		t.Errorf("ensured another config: %q, %v", p, err)
	}
	cfg, err := c.BasinConfig(ctx, "second-basin")
	if err != nil || !cfg.CreateStreamOnRead || cfg.CreateStreamOnAppend {
		t.Errorf("config %+v, %v", cfg, err)
	}
	cfg, err = c.ReconfigureBasin(ctx, "first-basin", s2.BasinChange{CreateStreamOnAppend: s2.Set(off), CreateStreamOnRead: s2.Set(on)})
	if err != nil || cfg.CreateStreamOnAppend || !cfg.CreateStreamOnRead || cfg.DefaultStreamConfig == nil || cfg.DefaultStreamConfig.Retention.Age != 90*time.Second {
		t.Errorf("reconfigured to %+v, %v: what is not named stays", cfg, err)
	}
	if _, err := c.BasinConfig(ctx, "third-basin"); !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "third-basin") {
		t.Errorf("%v, want ErrNotFound with the name", err)
	}

	for range 2 {
		check(t, c.DeleteBasin(ctx, "first-basin")) // again is no error
	}
	wantNames(t, "basins", names(t, c.Basins(ctx, s2.List{}), func(b s2.BasinInfo) string { return b.Name }), []string{"second-basin"})
	dying := all(t, c.Basins(ctx, s2.List{Deleting: true}))
	if len(dying) != 2 || !dying[0].Deleting() || dying[1].Deleting() {
		t.Errorf("with those in deletion: %+v", dying)
	}
	_, err = c.CreateBasin(ctx, "first-basin", s2.NewBasin{})
	want(t, err, backend.ErrNotFound) // its name is free later
}

func TestStreamsFromCreationToDeletion(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, false), s2test.PurgeAfter(time.Hour))
	b := dial(t, srv).Basin(basinName)
	if b.Name() != basinName {
		t.Errorf("name %q", b.Name())
	}
	uncapped := true
	info, err := b.CreateStream(ctx, "a/b c?", s2.StreamConfig{
		StorageClass: "standard", Retention: &s2.Retention{Forever: true}, Timestamping: &s2.Timestamping{Mode: "client-require", Uncapped: &uncapped},
		DeleteOnEmpty: &s2.DeleteOnEmpty{MinAgeSecs: 60}})
	check(t, err)
	if info.Name != "a/b c?" || info.CreatedAt.IsZero() || info.DeletedAt != nil {
		t.Errorf("created %+v", info)
	}
	_, err = b.CreateStream(ctx, "a/b c?", s2.StreamConfig{})
	want(t, err, backend.ErrConflict)
	for _, bad := range []string{"", ".", "..", strings.Repeat("x", 513)} {
		_, err = b.CreateStream(ctx, bad, s2.StreamConfig{})
		want(t, err, backend.ErrRejected)
	}
	cfg, err := b.StreamConfig(ctx, "a/b c?")
	if err != nil || cfg.StorageClass != "standard" || !cfg.Retention.Forever || cfg.Timestamping.Mode != "client-require" || !*cfg.Timestamping.Uncapped || cfg.DeleteOnEmpty.MinAgeSecs != 60 {
		t.Errorf("config %+v, %v", cfg, err)
	}
	cfg, err = b.ReconfigureStream(ctx, "a/b c?", s2.StreamChange{
		StorageClass: s2.Clear[s2.StorageClass](), Retention: s2.Set(s2.Retention{Age: time.Hour}), Timestamping: s2.Set(s2.TimestampingChange{Mode: s2.Set(s2.Arrival)})})
	if err != nil || cfg.StorageClass != "express" || cfg.Retention.Age != time.Hour || cfg.Timestamping.Mode != "arrival" || !*cfg.Timestamping.Uncapped || cfg.DeleteOnEmpty.MinAgeSecs != 60 {
		t.Errorf("reconfigured to %+v, %v: what is not named stays, what is cleared has its default", cfg, err)
	}

	for _, w := range []s2.Provision{s2.Created, s2.Unchanged} {
		if _, p, err := b.EnsureStream(ctx, "ensured", s2.StreamConfig{StorageClass: "standard"}); err != nil || p != w {
			t.Errorf("ensured: %q, %v, want %q", p, err, w)
		}
	}
	if _, p, err := b.EnsureStream(ctx, "ensured", s2.StreamConfig{}); err != nil || p != s2.Updated {
		t.Errorf("ensured with another config: %q, %v", p, err)
	}
	for range 2 {
		check(t, b.DeleteStream(ctx, "ensured"))
	}
	stream := func(s s2.StreamInfo) string { return s.Name }
	wantNames(t, "streams", names(t, b.Streams(ctx, s2.List{}), stream), []string{"a/b c?"})
	wantNames(t, "with those in deletion", names(t, b.Streams(ctx, s2.List{Deleting: true}), stream), []string{"a/b c?", "ensured"})
	want(t, b.DeleteStream(ctx, "never"), backend.ErrNotFound)
}

// Pages are fetched as they are needed, and a listing ends with its error.
func TestListingsGoThroughPages(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, false))
	b := dial(t, srv, s2.Attempts(1)).Basin(basinName)
	var made []string
	for i := range 25 {
		name := fmt.Sprintf("page/%02d", i)
		_, err := b.CreateStream(ctx, name, s2.StreamConfig{})
		check(t, err)
		made = append(made, name)
	}
	stream := func(s s2.StreamInfo) string { return s.Name }
	wantNames(t, "all", names(t, b.Streams(ctx, s2.List{Limit: 10}), stream), made)
	wantNames(t, "behind one", names(t, b.Streams(ctx, s2.List{Limit: 4, StartAfter: "page/09"}), stream), made[10:])
	wantNames(t, "with a prefix", names(t, b.Streams(ctx, s2.List{Prefix: "page/1", Limit: 3}), stream), made[10:20])

	pages := srv.Inject(s2test.Fault{Op: s2test.StreamCall, Skip: 2, Do: s2test.Status(500, "storage")})
	got := 0
	for s, err := range b.Streams(ctx, s2.List{Limit: 10}) {
		if err != nil {
			want(t, err, backend.ErrTransient)
			if s.Name != "" {
				t.Errorf("an error beside %q", s.Name)
			}
			break
		}
		got++
	}
	if got != 20 || pages.Hits() != 1 {
		t.Errorf("%d streams before the third page failed", got)
	}
	pages.Remove()
	for range b.Streams(ctx, s2.List{Limit: 10}) {
		break
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range b.Streams(ended, s2.List{}) {
		want(t, err, context.Canceled)
	}
}

func TestAccessTokens(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, false), s2test.Token("the-root"))
	c := dial(t, srv)
	_, err := c.Basin(basinName).CreateStream(ctx, "tenant/s", s2.StreamConfig{})
	check(t, err)
	exact, prefix := basinName, "tenant/"
	expiry := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	secret, err := c.IssueAccessToken(ctx, s2.AccessToken{ID: "reader 1", AutoPrefixStreams: true, ExpiresAt: &expiry, Scope: s2.Scope{
		Basins: &s2.Resources{Exact: &exact}, Streams: &s2.Resources{Prefix: &prefix}, OpGroups: &s2.OpGroups{Stream: &s2.Access{Read: true}}, Ops: []s2.Operation{"append"}}})
	check(t, err)
	tokens := all(t, c.AccessTokens(ctx, s2.List{}))
	if len(tokens) != 1 || tokens[0].ID != "reader 1" || !tokens[0].AutoPrefixStreams || !tokens[0].ExpiresAt.Equal(expiry) || *tokens[0].Scope.Streams.Prefix != prefix {
		t.Errorf("listed %+v", tokens)
	}

	tenant, err := s2.New(secret, s2.AccountEndpoint(srv.URL()), s2.BasinEndpoint(srv.URL()))
	check(t, err)
	defer tenant.Close()
	put(t, tenant.Basin(basinName).Stream("s"), "x") // that is tenant/s
	if tail, err := c.Basin(basinName).Stream("tenant/s").CheckTail(ctx); err != nil || tail.SeqNum != 1 {
		t.Errorf("the tail is at %+v, %v", tail, err)
	}
	_, err = tenant.Basin(basinName).CreateStream(ctx, "mine", s2.StreamConfig{})
	want(t, err, backend.ErrUnauthorized)

	check(t, c.RevokeAccessToken(ctx, "reader 1"))
	want(t, c.RevokeAccessToken(ctx, "reader 1"), backend.ErrNotFound)
	_, err = tenant.Basin(basinName).Stream("s").CheckTail(ctx)
	want(t, err, backend.ErrUnauthorized)
	for _, bad := range []string{"", ".", "..", strings.Repeat("x", 97)} {
		_, err = c.IssueAccessToken(ctx, s2.AccessToken{ID: bad})
		want(t, err, backend.ErrRejected)
		want(t, c.RevokeAccessToken(ctx, bad), backend.ErrRejected)
	}
}

func TestLocations(t *testing.T) {
	ctx := t.Context()
	c := dial(t, s2test.New(t))
	all, err := c.Locations(ctx)
	if err != nil || len(all) < 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	set, err := c.SetDefaultLocation(ctx, all[0].Name)
	if err != nil || set.Name != all[0].Name {
		t.Errorf("%+v, %v", set, err)
	}
	if got, err := c.DefaultLocation(ctx); err != nil || got != set {
		t.Errorf("%+v, %v, want %+v", got, err, set)
	}
	if b, err := c.CreateBasin(ctx, "where-it-goes", s2.NewBasin{}); err != nil || b.Location != set.Name {
		t.Errorf("%+v, %v", b, err)
	}
	_, err = c.SetDefaultLocation(ctx, "no/where")
	want(t, err, backend.ErrRejected)
}

func TestMetrics(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, true))
	c := dial(t, srv)
	st := c.Basin(basinName).Stream("measured")
	put(t, st, "12345", "67")
	q := s2.MetricQuery{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Minute)}
	q.Set = "active-basins"
	got, err := c.Metrics(ctx, q)
	if err != nil || len(got) != 1 || got[0].Kind != "label" || !slices.Equal(got[0].Labels, []string{basinName}) {
		t.Errorf("active basins %+v, %v", got, err)
	}
	q.Set, q.Interval = "append-throughput", "minute"
	got, err = c.Basin(basinName).Metrics(ctx, q)
	if err != nil || len(got) != 2 || got[1].Kind != "accumulation" || got[1].Unit != "bytes" || got[1].Interval != "minute" || len(got[1].Samples) != 1 ||
		got[1].Samples[0].Value != 8+5+8+2 || got[1].Samples[0].Time.Unix()%60 != 0 {
		t.Errorf("append throughput %+v, %v", got, err)
	}
	q.Set, q.Interval = "storage", ""
	got, err = st.Metrics(ctx, q)
	if err != nil || len(got) != 1 || got[0].Kind != "gauge" || len(got[0].Samples) != 1 || got[0].Samples[0].Value != 23 {
		t.Errorf("storage %+v, %v", got, err)
	}
	q.Set = "nonsense"
	if _, err := c.Metrics(ctx, q); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown set: %v", err)
	}
	var m s2.Metric
	check(t, m.UnmarshalJSON([]byte(`{"scalar":{"name":"n","unit":"operations","value":3}}`)))
	if m.Kind != "scalar" || len(m.Samples) != 1 || m.Samples[0].Value != 3 {
		t.Errorf("a scalar is %+v", m)
	}
	if m.UnmarshalJSON([]byte(`{}`)) == nil {
		t.Error("a metric of no kind is taken")
	}
}
