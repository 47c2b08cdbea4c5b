// Package lease says who works on which stream. It is what package group stands on, and what the author of a store
// implements.
//
// # Contract
//
// A group has a name, members and streams. A member proves that it is alive by calling [Store.Renew] again and again. A
// lease is the right of one member to work on one stream of the group, until a time. The store's clock alone decides
// when a time is over: no method takes a time from a member, and none returns one. So the clocks of the members may
// differ by any amount.
//
//   - A lease has one owner. [Store.Acquire] gives it only when nobody holds it, when it has expired, or to the member
//     that holds it already.
//   - An acquisition fences. In the same step in which the lease changes hands, the epoch of the stream's checkpoint
//     ([Key]) is raised, as [checkpoint.Store.Claim] does. From then on, no Save and no SaveTx of the owner before
//     succeeds. So correctness rests on the epoch and never on a clock: the leases only keep two members from doing the
//     same work.
//   - A lease that has expired stays with its owner until another member acquires it, and Renew prolongs it again. After
//     an outage of the store the members therefore go on with the streams they had.
//   - Every call may be repeated after a lost reply.
//
// [NewMemory] is a store for tests. Package checkpoint/sqlstore keeps leases in PostgreSQL and SQLite. leasetest.Run
// checks whether a store keeps this contract.
package lease
