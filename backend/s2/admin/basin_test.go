package admin_test

import (
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

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
	cfg, err = b.ReconfigureStream(ctx, "a/b c?", admin.StreamChange{
		StorageClass: admin.Clear[s2.StorageClass](), Retention: admin.Set(s2.Retention{Age: time.Hour}), Timestamping: admin.Set(admin.TimestampingChange{Mode: admin.Set(s2.Arrival)})})
	if err != nil || cfg.StorageClass != "express" || cfg.Retention.Age != time.Hour || cfg.Timestamping.Mode != "arrival" || !*cfg.Timestamping.Uncapped || cfg.DeleteOnEmpty.MinAgeSecs != 60 {
		t.Errorf("reconfigured to %+v, %v: what is not named stays, what is cleared has its default", cfg, err)
	}

	for _, w := range []admin.Provision{admin.Created, admin.Unchanged} {
		if _, p, err := b.EnsureStream(ctx, "ensured", s2.StreamConfig{StorageClass: "standard"}); err != nil || p != w {
			t.Errorf("ensured: %q, %v, want %q", p, err, w)
		}
	}
	if _, p, err := b.EnsureStream(ctx, "ensured", s2.StreamConfig{}); err != nil || p != admin.Updated {
		t.Errorf("ensured with another config: %q, %v", p, err)
	}
	for range 2 {
		check(t, b.DeleteStream(ctx, "ensured"))
	}
	stream := func(s admin.StreamInfo) string { return s.Name }
	wantNames(t, "streams", names(t, b.Streams(ctx, admin.List{}), stream), []string{"a/b c?"})
	wantNames(t, "with those in deletion", names(t, b.Streams(ctx, admin.List{Deleting: true}), stream), []string{"a/b c?", "ensured"})
	want(t, b.DeleteStream(ctx, "never"), backend.ErrNotFound)
}

// The longest retention that the protocol can say is cut, as the one is that a Duration cannot hold.
func TestTheLongestRetentionIsCut(t *testing.T) {
	c := fakeAdmin(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"retention_policy":{"age":18446744073709551615}}`)
	})
	cfg, err := c.Basin(basinName).StreamConfig(t.Context(), "s")
	if err != nil || cfg.Retention.Age != math.MaxInt64/time.Second*time.Second {
		t.Errorf("%v, %v", cfg.Retention, err)
	}
}
