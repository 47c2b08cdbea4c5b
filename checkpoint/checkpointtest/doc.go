// Package checkpointtest says whether a checkpoint store keeps the contract, and lets a good one fail on purpose.
//
// # The suite
//
// [Run] is the executable form of the contract of [checkpoint.Store]: claims and fencing, what is refused, keys and
// offsets kept byte for byte, concurrent claims, the end of a context. It needs no more than a way to make an empty
// store, and with [Reopen] it also checks that what was stored outlives the handle:
//
//	func TestContract(t *testing.T) {
//		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
//			return mystore.New(t.TempDir())
//		})
//	}
//
// # Faults
//
// [NewFlaky] wraps a store so that chosen calls fail, before they took effect or after: a lost reply, the case that
// code without such a test gets wrong.
package checkpointtest
