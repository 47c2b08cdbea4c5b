// Package inhand carries a second context inside a context: that of the work in hand. The end of the outer context stops a
// loop of a consumer, which may finish what is in hand. The end of the inner one stops that work, too. A group uses it when
// another member has the lease.
package inhand

import "context"

type key struct{}

// With returns a context derived from ctx that carries the context of the work in hand.
func With(ctx, work context.Context) context.Context { return context.WithValue(ctx, key{}, work) }

// From returns the context of the work in hand, or nil if ctx carries none.
func From(ctx context.Context) context.Context {
	work, _ := ctx.Value(key{}).(context.Context)
	return work
}
