package s2

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
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

// list goes through the pages of a listing. field is where a page has its entries; name is an entry's, and the next page
// starts behind the last one.
func list[T any](ctx context.Context, c *Client, r call, field string, l List, name func(T) string, show func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		after := l.StartAfter
		for {
			r.method, r.query = http.MethodGet, l.query(after)
			raw, _, err := fetch[map[string]json.RawMessage](ctx, c, &r)
			var page []T
			var more bool
			if err == nil {
				err = decodePage(raw, field, &page, &more)
				if err == nil && more && (len(page) == 0 || name(page[len(page)-1]) <= after) {
					err = protocolErrorf("a page that leads nowhere") // or this would never end
				}
				if err != nil {
					err = fmt.Errorf("s2: %s: %w", r.op, err)
				}
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, entry := range page {
				if (l.Deleting || show(entry)) && !yield(entry, nil) {
					return
				}
			}
			if !more {
				return
			}
			after = name(page[len(page)-1])
		}
	}
}

func decodePage[T any](raw map[string]json.RawMessage, field string, page *[]T, more *bool) error {
	if err := json.Unmarshal(raw[field], page); err != nil {
		return protocolErrorf("field %s: %w", field, err)
	}
	if m := raw["has_more"]; m != nil {
		if err := json.Unmarshal(m, more); err != nil {
			return protocolErrorf("field has_more: %w", err)
		}
	}
	return nil
}
