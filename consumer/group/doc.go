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
// Effects committed together with their checkpoint, with SaveTx of sqlstore.Leases: each effect happens exactly once. No
// effect happens under the lease of another member or after the time of the member's own lease, not even when the process
// of the member was suspended for an hour. The moment of SaveTx counts: from SaveTx until the end of its transaction, no
// other member can acquire the lease.
//
// All other effects happen at least once, as with a consumer alone: a member that takes a stream over repeats the records
// behind the last save. Nothing can fence an effect outside the database, so the member stops in time. A member measures
// the time of a lease with its own stopwatch, which starts before the request for the renewal. No record begins in the
// last 2 times [DrainTimeout] of a lease. The ctx of a handler ends 1 DrainTimeout before the end of the lease.
// So a handler has no effect after the lease if the handler returns within DrainTimeout after the end of its ctx. There
// are four exceptions, and only an effect together with its checkpoint survives them:
//
//   - The process is suspended, or waits for its memory or its disk, between the last look at the time and the effect. To
//     keep this gap as small as possible, a handler may ask InHand(ctx).Err() directly before the effect.
//   - The machine sleeps. Meanwhile the stopwatch of a process stands still on some systems.
//   - The clock of the database jumps ahead by more than DrainTimeout. The member notices with its next renewal.
//   - The effect itself is slow: a request that was sent in time arrives after the lease.
//
// # Leases
//
// A member renews its leases five times in the time of a lease ([LeaseTime], 15 s). After the death of a member its
// leases end in LeaseTime at the latest, and other members take the streams with their next renewal. So a stream stands
// still for at most 18 s by default. While the database cannot be reached nobody can renew: then each member stops its
// streams before their leases end, by its own stopwatch. When the database is back, the members go on. No outage, however
// long, ends a group.
//
// # Handing over
//
// A member takes no stream with its first renewal, nor with the first renewal after an outage. So members that begin
// together know of each other before the next renewal, 3 s later by default, when all of them take streams.
//
// With every later renewal a member compares what each member holds with an even share. If a member has too many streams,
// the member gives half of the surplus away. If a member has too few, the member takes free streams. In the end the
// shares differ by one stream at most, and no stream moves any more. With 32 streams and the defaults, the shares are
// even 15 s after a second member has joined, 9 s after a third, 6 s after a fourth, 3 s after a member has left, and 18
// s after a member was killed.
//
// A member gives a stream away politely: the member stops reading, finishes the work in hand within [DrainTimeout],
// saves, and releases the lease. A shutdown gives all streams away politely. The ctx of the function given to
// [Group.Each] ends when reading must stop. The ctx of [InHand] ends when the work in hand must stop, too.
//
// # Errors
//
// [Group.Each] and [Group.Process] return when their ctx is over, or when an error is final: the error of one stream
// stops the member, after the member has given all its streams back. An error of a handler that wraps
// [backend.ErrTransient] is not final: when [consumer.Retries] are used up, the work on the stream begins again from its
// checkpoint. Use [consumer.DeadLetters]: otherwise a record with a lasting error stops one member after the other. The
// end of its streams does not end a group: after the last record of a closed stream, the member keeps the lease and does
// nothing with the stream.
//
// If the checkpoint of a stream is claimed by a consumer outside the group, the fenced member logs a warning and claims
// the checkpoint again after [LeaseTime].
//
// # Names
//
// The name of a group is the name of a consumer: all members of a group do the same work. A member's name is for people;
// the group adds a random part to the name at every start. Therefore two processes with one name are two members, and
// after a restart a process does not mistake the leases of its former life for its own. [Group.Key] returns the key of
// the checkpoint of a stream.
//
// # Where this comes from
//
// Azure's Event Hubs processor and Amazon's Kinesis client keep one record of ownership for each partition too, balance
// by taking one partition a round, and fence by a condition on the record of ownership. In both systems the member with
// too little steals, and the robbed member notices the theft later. Here the member with too much gives, because only the
// giver knows when its work in hand is finished.
package group
