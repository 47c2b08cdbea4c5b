package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/internal/inhand"
)

// A Group is a consumer of several streams in several processes. Many goroutines may use a Group at once; each call of
// [Group.Each] or [Group.Process] is a member of its own.
type Group[T any] struct {
	leases  lease.Store
	name    string
	streams Streams
	codec   codec.Codec[T]
	cfg     config
}

// New returns a group, and does no I/O. leases keeps the leases and the checkpoints of the streams: see
// sqlstore.NewLeases, and [lease.NewMemory] for tests.
func New[T any](leases lease.Store, name string, streams Streams, c codec.Codec[T], opts ...Option) (*Group[T], error) {
	if leases == nil || c == nil {
		return nil, errors.New("group: the leases or the codec are nil: give New both")
	}
	if err := lease.CheckGroup(name); err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	if err := streams.check(name); err != nil {
		return nil, err
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return &Group[T]{leases: leases, name: name, streams: streams, codec: c, cfg: cfg}, nil
}

// Key returns the key of the checkpoint of a stream, for SaveTx.
func (g *Group[T]) Key(stream string) string { return lease.Key(g.name, stream) }

// Process runs h for every record of the streams of this member, as [consumer.Consumer.Process] does for each stream:
// [consumer.Concurrency] handlers a stream. The ctx of a handler ends at the latest with the lease.
//
// Process returns ctx's error when ctx is over and all streams are given back. Before the end of ctx, Process returns
// only a final error.
func (g *Group[T]) Process(ctx context.Context, h func(ctx context.Context, stream string, m consumer.Message[T]) error, opts ...consumer.ProcessOption) error {
	if h == nil {
		return errors.New("group: process: the handler is nil")
	}
	return g.Each(ctx, func(ctx context.Context, stream string, c *consumer.Consumer[T]) error {
		return c.Process(ctx, func(ctx context.Context, m consumer.Message[T]) error { return h(ctx, stream, m) }, opts...)
	})
}

// KeyBy keeps the order of records with the same key in each stream, in [Group.Process], as [consumer.Consumer.KeyBy]
// does.
func (g *Group[T]) KeyBy(key func(T) string) consumer.ProcessOption {
	return (*consumer.Consumer[T])(nil).KeyBy(key) // KeyBy does not use the consumer
}

// Each runs f for every stream of this member, in one goroutine for each stream, with a consumer that keeps its place in
// the group's store. f runs a loop of the consumer (Messages, Batches, Process or Pipe) under ctx and returns when the
// loop has ended:
//
//	err := g.Each(ctx, func(ctx context.Context, stream string, c *consumer.Consumer[Order]) error {
//		for m, err := range c.Messages(ctx) {
//			if err != nil {
//				return err
//			}
//			if err := book(group.InHand(ctx), m); err != nil { // effect and SaveTx in one transaction
//				return err
//			}
//		}
//		return nil
//	})
//
// ctx ends when the member must give the stream away: the loop then ends. Work in hand may go on under [InHand] for
// DrainTimeout. After the end of ctx, an error of f is logged, and is no error of the group.
//
// Before the end of ctx, an error of f is final, and a panic of f is final, too. There are three exceptions. After the
// following errors Each calls f again, with a new consumer that goes on from the checkpoint:
//
//   - [backend.ErrTransient], after a pause that grows from 50 ms to 5 s. So an outage ends no group. sqlstore.Classify
//     makes ErrTransient of errors of a database that may pass.
//   - [backend.ErrFenced], after LeaseTime: somebody outside the group has claimed the checkpoint.
//   - [backend.ErrNotFound] with [Discover], when the streams have been listed again: the stream was deleted.
//
// When f returns nil, the stream needs no more work here.
//
// If f has not returned 4 times DrainTimeout after the end of its ctx, the group ends with an error, because nothing can
// end f. The stream is released nevertheless.
//
// Each returns ctx's error when ctx is over and all streams are given back, unless giving them back failed.
func (g *Group[T]) Each(ctx context.Context, f func(ctx context.Context, stream string, c *consumer.Consumer[T]) error) error {
	if f == nil {
		return errors.New("group: each: the function is nil")
	}
	return newMember(g, f).run(ctx)
}

// InHand returns the context of the work in hand, given ctx or a context derived from ctx: the context that [Group.Each]
// gave to its function, or the context of a handler. The context of the work ends DrainTimeout after the context of Each,
// and at the latest DrainTimeout before the lease can end. When the lease is lost, the context of the work ends at once.
// The context of a handler in [consumer.Consumer.Process] ends at the same time.
//
// The method Err of the returned context asks the clock. Ask Err directly before an effect outside of a transaction with
// SaveTx: in a process that has just gone on after a suspension, Err knows of the end before any timer has fired.
func InHand(ctx context.Context) context.Context {
	if hold := inhand.From(ctx); hold != nil {
		return hold.Work
	}
	return ctx
}
