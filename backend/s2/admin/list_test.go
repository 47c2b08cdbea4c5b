package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

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
	stream := func(s admin.StreamInfo) string { return s.Name }
	wantNames(t, "all", names(t, b.Streams(ctx, admin.List{Limit: 10}), stream), made)
	wantNames(t, "behind one", names(t, b.Streams(ctx, admin.List{Limit: 4, StartAfter: "page/09"}), stream), made[10:])
	wantNames(t, "with a prefix", names(t, b.Streams(ctx, admin.List{Prefix: "page/1", Limit: 3}), stream), made[10:20])

	pages := srv.Inject(s2test.Fault{Op: s2test.StreamCall, Skip: 2, Do: s2test.Status(500, "storage")})
	got := 0
	for s, err := range b.Streams(ctx, admin.List{Limit: 10}) {
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
	for range b.Streams(ctx, admin.List{Limit: 10}) {
		break
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range b.Streams(ended, admin.List{}) {
		want(t, err, context.Canceled)
	}
}

// One page says whether there is another, and where that begins.
func TestAPageLeadsToTheNext(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	b := dial(t, srv).Basin(basinName)
	for _, name := range []string{"a", "b", "c"} {
		_, err := b.CreateStream(t.Context(), name, s2.StreamConfig{})
		check(t, err)
	}
	var pages [][]string
	for l, more := (admin.List{Limit: 2}), true; more; {
		p, err := b.StreamsPage(t.Context(), l)
		check(t, err)
		var names []string
		for _, s := range p.Entries {
			names = append(names, s.Name)
		}
		pages = append(pages, names)
		l.StartAfter, more = p.Last, p.HasMore
	}
	if len(pages) != 2 || !slices.Equal(pages[0], []string{"a", "b"}) || !slices.Equal(pages[1], []string{"c"}) {
		t.Errorf("%q", pages)
	}
}

// A listing whose pages lead nowhere would never end.
func TestAPageThatLeadsNowhere(t *testing.T) {
	var asked atomic.Int64
	c := fakeAdmin(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"streams":[{"name":"s"}],"has_more":true}`))
	})
	var last error
	for _, err := range c.Basin(basinName).Streams(t.Context(), admin.List{}) {
		last = err
	}
	var pe *s2.ProtocolError
	if !errors.As(last, &pe) || asked.Load() != 2 {
		t.Errorf("%v after %d pages", last, asked.Load())
	}
}
