// Package relay copies a stream into another one, each record exactly once, however often the process is killed.
//
//	err := relay.Run(ctx, source, target, store, "orders-to-s2")
//
// # Delivery
//
//   - Every record of the source, from the start on, is in the target once, in the order of the source. What the source never shows,
//     such as a record of a transaction that was rolled back, is never there.
//   - This holds over kills of the process, lost connections, and lost replies of the source, the target and the checkpoint store.
//   - It holds while an old relay of the same name still runs: the newer one claims the name in the checkpoint store, and the older one
//     stops at its next step with [backend.ErrFenced]. What the older one still has on its way are batches that the newer one sends
//     too, with the same records under the same numbers, and the target stores each number once.
//   - The names of a relay in the target and in the store are one name. Never give it to another relay, and never remove the
//     checkpoint while the target remembers the name: a relay without its checkpoint stops with an error, or begins again.
//
// # How
//
// The target must know a resend of another process: it is a [backend.Resumer]. A write-only target that does not, such as Zerobus, does
// not compile.
//
// Before the relay sends batches it saves an announcement: the place in the source, the number of the first batch, and how many records
// of the source each batch has. Then it sends them under their numbers. After a kill the next relay reads the announcement, reads the
// same records again, sends the same batches under the same numbers, and goes on behind them. So the target's knowledge of a resend
// follows from the source's own offsets, and a place in one system needs no transaction with the other.
//
// This is why a relay is not a consumer.Pipe: a Pipe hands records to a producer, which cuts batches by time and load, differently
// each time.
//
// # Costs
//
// One Save of the checkpoint store for each round, which is up to 16 batches, and one when the source has no more. Where records come
// one by one, that is two for each.
package relay
