// Package checkpointtest checks whether a checkpoint store keeps the contract, and makes a good store fail on purpose.
//
// # The suite
//
// [Run] is the executable form of the contract of [checkpoint.Store]: claims and fencing, refusals, keys and offsets
// kept byte for byte, concurrent claims, the end of a context. You give Run a function that makes an empty store. With
// [Reopen], Run also checks that a new handle finds what an old one has stored:
//
//	func TestContract(t *testing.T) {
//		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
//			return mystore.New(t.TempDir())
//		})
//	}
//
// # Faults
//
// [NewFlaky] wraps a store so that chosen calls fail, before or after the call took effect. A call that took effect and
// then fails is a lost reply. Code that was never tested with lost replies usually handles them wrongly.
package checkpointtest
