// Package group shares the streams of one consumer between several processes. Each process is a member of the group.
// Each stream is worked on by one member at a time, the members share the streams evenly, and when a member dies the
// others go on with its streams. A group of one stream has one worker, and the other members stand by.
//
//	g, err := group.New(leases, "billing", group.Fixed(open, "orders-0", "orders-1", "orders-2"), codec.JSON[Order]())
//	…
//	err = g.Process(ctx, func(ctx context.Context, stream string, m consumer.Message[Order]) error { … })
//
// # Delivery
//
// A lease is the right of one member to work on one stream until a time. The lease stands in a database, and the clock of
// the database decides when the lease is over; the clocks of the members may differ by any amount. Leases keep two members
// from doing the same work. Epochs keep the result right: a member takes the epoch of the stream's checkpoint together
// with the lease, in one step, and in no other way. After that step no checkpoint of the member before can be saved,
// neither by its consumer nor with SaveTx in a transaction of the user.
//
// Effects that are committed together with their checkpoint, with SaveTx of sqlstore.Leases: each effect happens exactly
// once. No effect happens under the lease of another member, and none after the time of the member's own lease, not even
// when the member was suspended for an hour and believes that it still holds the lease. SaveTx is the moment that counts:
// from SaveTx until the end of its transaction, no other member can acquire the lease.
//
// All other effects happen at least once, as with a consumer alone: a member that takes a stream over repeats what was not
// saved. Nothing can fence such an effect, so the member stops in time. It counts the time of a lease from before the
// request that renewed the lease, with a stopwatch of its own. No record begins later than 2 times [DrainTimeout] before
// the end of the lease. The ctx of a handler ends 1 DrainTimeout before the end of the lease. So a handler that returns
// within DrainTimeout after the end of its ctx has no effect under a lease that is over. There are four exceptions, and
// only an effect together with its checkpoint survives them:
//
//   - The process is suspended (or waits for its garbage collector or for its disk) between the last look at the time and
//     the effect. A handler that asks InHand(ctx).Err() directly before the effect keeps this gap as small as it can be.
//   - The machine sleeps. The stopwatch of a process stands still in that time on some systems.
//   - The clock of the database jumps ahead by more than DrainTimeout. The member notices with its next renewal.
//   - The effect itself is slow: a request that was sent in time arrives after the lease.
//
// # Leases
//
// A member renews its leases five times in the time of a lease ([LeaseTime], 15 s). A member that was killed has lost its
// streams after that time, and others take them with their next renewal, so a stream stands still for at most 18 s by
// default. While the database cannot be reached nobody can renew: then each member stops its streams before their leases
// end, by its own stopwatch. When the database is back, the members go on. No outage ends a group, however long it is.
//
// # Handing over
//
// A member takes nothing with its first renewal, nor with the first after an outage: members that begin together then know
// of each other before they take streams, 3 s later by default.
//
// With every later renewal a member compares what each member holds with an even share. A member that holds too much gives one
// stream away, and a member that holds too little takes what is free. In the end the shares differ by one stream at most,
// and no stream moves any more.
//
// A member gives a stream away politely: it stops reading, finishes what is in hand within [DrainTimeout], saves, and
// releases the lease. A shutdown does the same with all streams. The ctx of the function given to [Group.Each] ends when
// reading must stop. The ctx of [InHand] ends when the work in hand must stop, too.
//
// # Errors
//
// [Group.Each] and [Group.Process] return when their ctx is over, or when an error is final: the error of one stream
// stops the member, which gives all its streams back first. An error of a handler that wraps [backend.ErrTransient] is
// not final: when [consumer.Retries] are used up, the work on the stream begins again from its checkpoint. Use [consumer.DeadLetters] so that a record which cannot be
// processed does not stop one member after the other. A group does not end because its streams do: a member keeps the
// lease on a stream that is closed for good and has been read to its end, and does nothing with it.
//
// If the checkpoint of a stream is claimed by a consumer outside the group, the member that is fenced logs a warning and
// claims it again after [LeaseTime].
//
// # Names
//
// The name of a group is the name of a consumer: all members of a group do the same work. A member's name is for people;
// a random part is added to it at every start, so two processes with one name are two members, and a process that is
// started again does not mistake the leases of its former life for its own. The checkpoint of a stream has the key that
// [Group.Key] returns.
//
// # Where this comes from
//
// Azure's Event Hubs processor and Amazon's Kinesis client keep one record of ownership for each partition too, balance
// by taking one partition a round, and fence by a condition on that record. In both the member with too little steals,
// and the one it steals from notices later. Here the member with too much gives, because only that member knows when its
// work in hand is finished.
package group
