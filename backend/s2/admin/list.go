package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/headrace/headrace/backend/s2"
)

// A List selects entries of a listing. The zero List is all entries except entries in deletion.
type List struct {
	Prefix     string // only names with this prefix
	StartAfter string // only names after this one, compared by bytes
	Limit      int    // entries a page, at most 1000; 0 is 1000
	Deleting   bool   // also entries in deletion
}

func (l List) query(after string) url.Values {
	q := url.Values{}
	if l.Prefix != "" {
		q.Set("prefix", l.Prefix)
	}
	if after != "" {
		q.Set("start_after", after)
	}
	if l.Limit > 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	return q
}

// A Page is one page of a listing.
type Page[T any] struct {
	Entries []T
	HasMore bool   // another page exists
	Last    string // the last name of the page, also when List leaves its entry out: the StartAfter of the next page
}

// A listing is a kind of entries on the server.
type listing[T any] struct {
	client  *s2.Client
	request s2.Request
	field   string // the field of a page with the entries
	name    func(T) string
	deleted func(T) bool // the entry is in deletion
}

// page fetches one page, of the names after after. The page holds the entries in deletion too.
func (g listing[T]) page(ctx context.Context, l List, after string) (p Page[T], err error) {
	r := g.request
	r.Method, r.Query = http.MethodGet, l.query(after)
	var fields map[string]json.RawMessage
	if _, err := g.client.Call(ctx, r, &fields); err != nil {
		return Page[T]{}, err
	}
	if p, err = g.decode(fields); err == nil && p.HasMore && p.Last <= after {
		err = errors.New("a page that leads nowhere") // following the pages would never end
	}
	if err != nil {
		return Page[T]{}, fmt.Errorf("s2: %s: %w", r.Op, &s2.ProtocolError{Err: err})
	}
	return p, nil
}

func (g listing[T]) decode(fields map[string]json.RawMessage) (p Page[T], err error) {
	if err := json.Unmarshal(fields[g.field], &p.Entries); err != nil {
		return p, fmt.Errorf("field %s: %w", g.field, err)
	}
	if m := fields["has_more"]; m != nil {
		if err := json.Unmarshal(m, &p.HasMore); err != nil {
			return p, fmt.Errorf("field has_more: %w", err)
		}
	}
	if n := len(p.Entries); n > 0 {
		p.Last = g.name(p.Entries[n-1])
	}
	return p, nil
}

// first fetches the page after l.StartAfter.
func (g listing[T]) first(ctx context.Context, l List) (Page[T], error) {
	p, err := g.page(ctx, l, l.StartAfter)
	if !l.Deleting {
		p.Entries = slices.DeleteFunc(p.Entries, g.deleted)
	}
	return p, err
}

// all iterates over the entries of all pages.
func (g listing[T]) all(ctx context.Context, l List) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after, more := l.StartAfter, true; more; {
			p, err := g.page(ctx, l, after)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, entry := range p.Entries {
				if (l.Deleting || !g.deleted(entry)) && !yield(entry, nil) {
					return
				}
			}
			after, more = p.Last, p.HasMore
		}
	}
}
