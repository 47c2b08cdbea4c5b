package s2

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// A List says which entries of a listing to return. The zero List is all of them.
type List struct {
	Prefix     string // only names that begin with it
	StartAfter string // only names behind it, bytewise
	Limit      int    // entries a page, at most 1000; 0 is 1000
	Deleting   bool   // with those in deletion
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
	Last    string // where the next one starts after: the last name of this one, also when its entry is not shown
}

// A listing is a kind of entries that the server lists.
type listing[T any] struct {
	call  call
	field string // of a page, which has the entries
	name  func(T) string
	gone  func(T) bool // in deletion
}

// page fetches one page, of the names behind after. It holds the entries in deletion too.
func (g listing[T]) page(ctx context.Context, c *Client, l List, after string) (Page[T], error) {
	r := g.call
	r.method, r.query = http.MethodGet, l.query(after)
	a, err := c.do(ctx, &r)
	if err != nil {
		return Page[T]{}, err
	}
	p, err := g.decode(a.body)
	if err == nil && p.HasMore && p.Last <= after {
		err = protocolErrorf("a page that leads nowhere") // or whoever follows the pages would never come to an end
	}
	if err != nil {
		return Page[T]{}, fmt.Errorf("s2: %s: %w", r.op, err)
	}
	return p, nil
}

// shown fetches one page and leaves out what is not asked for.
func (g listing[T]) shown(ctx context.Context, c *Client, l List) (Page[T], error) {
	p, err := g.page(ctx, c, l, l.StartAfter)
	if !l.Deleting {
		p.Entries = slices.DeleteFunc(p.Entries, g.gone)
	}
	return p, err
}

// all goes through the pages.
func (g listing[T]) all(ctx context.Context, c *Client, l List) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after, more := l.StartAfter, true; more; {
			p, err := g.page(ctx, c, l, after)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, entry := range p.Entries {
				if (l.Deleting || !g.gone(entry)) && !yield(entry, nil) {
					return
				}
			}
			after, more = p.Last, p.HasMore
		}
	}
}

func (g listing[T]) decode(body []byte) (p Page[T], err error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return p, protocolErrorf("%w", err)
	}
	if err := json.Unmarshal(raw[g.field], &p.Entries); err != nil {
		return p, protocolErrorf("field %s: %w", g.field, err)
	}
	if m := raw["has_more"]; m != nil {
		if err := json.Unmarshal(m, &p.HasMore); err != nil {
			return p, protocolErrorf("field has_more: %w", err)
		}
	}
	if n := len(p.Entries); n > 0 {
		p.Last = g.name(p.Entries[n-1])
	}
	return p, nil
}
