// Package streamstore keeps checkpoints as records of a stream of any backend, for deployments without a database.
//
// # How it works
//
// Each Claim and Save appends one record: the whole content of its key, and the version of this content. The order of the
// stream decides. If two records have the same version, the first record counts. The writer of the second record reads
// the first record, and tries again with the next version. Therefore several processes may use one stream, and a Claim,
// the check of an epoch and a Save are each one step, as package checkpoint demands. Use the stream for nothing else, and
// keep its records: no retention by age.
//
// Streams of memory, bolt, S2, Durable Streams and PostgreSQL are tested. Zerobus cannot be read.
//
// The first call reads the whole stream. Every later call reads the records that others have appended since the call
// before. A call costs one append, and one or two openings of a reader. For many saves a second, sqlstore and boltstore
// are the better choice.
//
// # Compaction
//
// With [Trim], replaced records are dropped once there are many of them. Without Trim the stream grows by a record for
// each Save.
package streamstore
