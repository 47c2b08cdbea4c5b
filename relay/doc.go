// Package relay copies a stream into another stream, each record exactly once, even if the process is killed many
// times.
//
//	err := relay.Run(ctx, source, target, store, "orders-to-s2")
//
// # Delivery
//
//   - Every record of the source, from the start on, is in the target once, in the order of the source. Records that
//     the source never shows, for example of a rolled back transaction, are never in the target.
//   - Kills of the process, lost connections, and lost replies of the source, the target and the checkpoint store do
//     not change this.
//   - An old relay of the same name may still be running. The newer relay claims the name in the checkpoint store, and
//     the older one stops at its next step with [backend.ErrFenced]. Batches of the older relay may still be on their
//     way. The newer relay sends the same records under the same numbers, and the target stores each number once.
//   - A relay has the same name in the target and in the checkpoint store. Never give the name to another relay. Never
//     remove the checkpoint while the target remembers the name: a relay without its checkpoint stops with an error, or
//     begins again.
//
// # How
//
// The target must recognize a resend from another process: the target is a [backend.Resumer]. Durable Streams and PostgreSQL
// remember which batches of the relay's name they hold. S2, bolt and memory recognize a batch by its place, so nobody else may write
// to such a stream. A target without this ability, such as Zerobus, does not compile.
//
// Before the relay sends batches, the relay saves an announcement: the place in the source, the number of the first batch,
// and how many records of the source each batch has. Then the relay sends the batches under their numbers. After a kill, the next
// relay reads the announcement, reads the same records again, sends the same batches under the same numbers, and goes
// on behind them. The target recognizes the batches that it has stored already. Therefore the relay needs no
// transaction over both systems.
//
// A consumer.Pipe cannot do the same. A Pipe hands records to a producer, and the producer cuts batches by time and
// load, differently each time.
//
// # Costs
//
// Each round needs one Save of the checkpoint store, and has up to 16 batches. Another Save follows when the source has
// no more records. If records come one by one, each record needs two Saves.
package relay
