// Package streamstore keeps checkpoints as records of a stream of any backend, for deployments without a database.
//
// # How it works
//
// Each Claim and Save appends one record with all that is stored under its key, and the version of the key that it makes.
// The order of the stream decides: of two records that make the same version the first counts, and who appended the other
// one reads that and tries again on top of it. So several processes may use one stream, and a Claim, the check of an epoch
// and a Save are each one step, as package checkpoint demands. The stream must be used for nothing else, and its records
// must be kept: no retention by age.
//
// Every call reads what others have appended since the last call; the first one reads all. A call costs one append and
// one opening of a reader or two. For many saves a second, sqlstore and boltstore are the better choice.
//
// # Compaction
//
// With [Trim], records that newer ones have replaced are dropped once there are many of them. Without it the stream grows
// by a record a Save.
package streamstore
