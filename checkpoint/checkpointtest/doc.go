// Package checkpointtest checks whether a checkpoint store keeps its contract, and can let a good store fail on purpose.
//
// # The suite
//
// [Run] is the executable form of the contract of [checkpoint.Store]: claims and fencing, refusals, keys and offsets kept
// byte for byte, concurrent claims, the end of a context. The caller gives Run a function that makes an empty store. With
// [Reopen], Run also checks whether a new handle finds the checkpoints of an old handle:
//
//	func TestContract(t *testing.T) {
//		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
//			return mystore.New(t.TempDir())
//		})
//	}
//
// # Faults
//
// [NewFlaky] wraps a store and makes chosen calls fail, before or after the call took effect. If the call took effect and
// then fails, the reply is lost. Code without tests of lost replies usually handles lost replies wrongly.
package checkpointtest
