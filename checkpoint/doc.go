// Package checkpoint keeps the place of a consumer in a stream.
//
// # Delivery
//
// A [Checkpoint] says which records are done: all records before its offset, and the records listed in its Ahead behind
// the offset. A [Store] makes these promises:
//
//   - A claim takes the key over. [Store.Claim] returns the stored checkpoint and raises the epoch in the same step.
//     Every consumer loop claims when it starts. When several consumers claim at once, each gets an epoch of its own.
//   - The newer consumer stops the older one. [Store.Save] stores under the current epoch only. Under any other epoch
//     Save fails with [backend.ErrFenced] and changes nothing. So a consumer that hung, was replaced and came back cannot
//     move the checkpoint, neither back nor forward, and learns of the newer consumer by its next Save.
//   - A Save may be repeated. After a lost reply, the same Save either stores the same place again or is fenced. A
//     repeated Save never undoes the work of a newer consumer.
//   - When Claim or Save has returned nil, a crash does not undo the call (except in the memory store). When Claim or
//     Save returns an error, the store holds either the old value or the new value, and never a mixture.
//   - An empty offset is not a place and is refused. The checkpoint of a consumer's message has an empty offset where records
//     finish out of order. With a stored empty offset, a consumer would skip or repeat records without a warning.
//   - Damage is an error. A store that cannot read its content returns a [*CorruptError] and does not start over.
//
// By itself a checkpoint gives at-least-once: after a kill, a consumer repeats the records behind its last Save.
// Exactly-once processing needs the effect and the offset in one commit. A store with a SaveTx method makes one commit
// possible: boltstore stores the checkpoint inside the caller's own bbolt transaction, and sqlstore inside a transaction of
// PostgreSQL or SQLite. A fenced SaveTx fails; when the caller then rolls the transaction back, the effect is undone, too.
//
// # Keys
//
// A key names one consumer of one stream. Put the stream's name into the key, because an offset means nothing on another
// stream. Keys are compared byte by byte. A Store never removes a key. So derive keys from the names of a deployment, and
// not from names that change with each start. A [Lister] returns its keys.
//
// # Stores
//
// [NewMemory] is for tests: its content is gone when the process ends. [NewFile] is one file of text, which people can read and
// several processes can use. boltstore keeps checkpoints in a bbolt database, sqlstore in PostgreSQL or SQLite, and streamstore in
// a stream. checkpointtest.Run checks whether a new store keeps the contract.
package checkpoint
