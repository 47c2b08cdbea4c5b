// Package backendtest is the executable form of the contracts of package backend: [Run] is the suite that every backend
// passes. It also has what tests of programs on top of a backend need: [FlakySink] and [FlakySource], on which things go
// wrong as told, and [Discard].
//
// # Joining a backend
//
// A backend joins with one test, which tells by a [Harness] how to make a fresh stream and what the store keeps:
//
//	func TestConformance(t *testing.T) {
//		backendtest.Run(t, backendtest.Harness{
//			Open: func(t testing.TB) backendtest.Target {
//				s := mystore.New()
//				return backendtest.Target{Sink: s, Source: s, Trim: s.Trim, Finish: s.Finish}
//			},
//			Headers: true,
//			Offsets: true,
//			Bubble:  true,
//		})
//	}
//
// Each rule is a subtest of its own. What the harness says that the store cannot do is skipped with the reason, or
// checked to be refused: a capability that is not claimed may not half work.
//
// # Making things go wrong
//
// A [Fault] looks at each [Call] and says which [Effect] it suffers. [Nth], [Every], [Rotate], [RefuseNamed],
// [RefuseUnnamed] and [Random] make the usual ones; for anything else write the func. Counters tell afterwards what was
// injected. A fault stays within what a real connection can do, apart from [ForgeAck] and [ForgeBatch], which lie.
package backendtest
