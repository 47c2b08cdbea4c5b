// Package lease says which member of a group works on a stream. Package group uses a [Store], and the author of a store
// implements a Store.
//
// # Contract
//
// A group has a name, members and streams. A member that is alive calls [Store.Renew] again and again. A lease is the
// right of one member to work on one stream of the group, until a time. The store's clock alone decides when a time is
// over: no method takes or returns a time. So the clocks of the members may differ by any amount.
//
//   - A lease has one owner. [Store.Acquire] gives a lease that nobody holds, a lease that has expired, or the member's
//     own lease again.
//   - An acquisition fences. Acquire raises the epoch of the stream's checkpoint ([Key]) in the same step, as
//     [checkpoint.Store.Claim] does, and returns the checkpoint. After that, every Save and SaveTx of the owner before
//     fails. So a stored result is right because of the epochs, whatever the clocks say. Leases only keep two members
//     from doing the same work.
//   - An expired lease stays with its owner until another member acquires the lease, and Renew prolongs an expired lease,
//     too. Therefore the members go on with their own streams after an outage of the store.
//   - Every call may be repeated after a lost reply.
//
// [NewMemory] is a store for tests. Package checkpoint/sqlstore keeps leases in PostgreSQL and SQLite. leasetest.Run
// checks whether a store keeps this contract.
package lease
