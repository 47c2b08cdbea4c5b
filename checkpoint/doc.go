// Package checkpoint keeps where a consumer has got to.
//
// # Delivery
//
// A [Checkpoint] says that everything before its offset is done. What a [Store] promises, and what follows from it:
//
//   - A claim takes the key over. [Store.Claim] returns what is stored and raises the epoch in the same step; every
//     consumer loop claims when it starts. Of any number of claims at once, each gets an epoch of its own.
//   - The newer consumer stops the older. [Store.Save] stores under the current epoch only; any other is refused with
//     [backend.ErrFenced] and changes nothing. A consumer that hung, was replaced and came back cannot move the
//     checkpoint, neither back nor on, and it learns so from its next Save.
//   - A Save may be repeated. After a lost reply the same Save either stores the same again or is fenced; it never
//     undoes the work of a newer consumer.
//   - When Claim or Save has returned nil, a crash does not take it back (the memory store aside). When they return an
//     error, either what was stored before is there or what was asked for, never a mixture.
//   - An empty offset is no place and is refused. It is what a message reports where records finish out of order, and
//     storing it would skip or repeat records without a word.
//   - Damage is an error. A store that cannot read what it holds says so with a [*CorruptError] and does not start over.
//
// By itself this is at-least-once: a consumer that is killed repeats the records after its last Save. Exactly-once
// processing needs the effect and the offset in one commit, which a store with a SaveTx method gives: boltstore, inside
// the caller's own bbolt transaction. A fenced SaveTx fails and takes the effect with it, provided that the caller rolls
// back on its error.
//
// # Keys
//
// A key names one consumer of one stream: put the stream's name in it, because offsets mean nothing on another stream.
// Keys are compared byte by byte. They are never removed by a Store, so derive them from what is deployed and not from
// what comes and goes with each start.
//
// # Stores
//
// [NewMemory] forgets with the process, for tests. [NewFile] is a small human-readable file that several processes may
// share. The folders below this package hold stores on other media; checkpointtest.Run says whether one of your own keeps
// the contract.
package checkpoint
