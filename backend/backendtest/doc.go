// Package backendtest is the executable form of the contracts of package backend: [Run] is the suite that every backend
// passes. For tests of programs on top of a backend the package has [FlakySink] and [FlakySource], which make calls go wrong
// on purpose, and [Discard].
//
// # Joining a backend
//
// A backend joins with a single test. The [Harness] of the test says how to make a fresh stream and what the store keeps:
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
// Each rule is a subtest. When the harness says that the store lacks a capability, the rule is skipped with the reason, or the
// rule checks that the store refuses: a capability that is not claimed must not half work.
//
// # Making things go wrong
//
// A [Fault] looks at each [Call] and chooses the [Effect] on the call. [Nth], [Every], [Rotate], [RefuseNamed],
// [RefuseUnnamed] and [Random] make the usual faults; every other fault is a func of the test. Counters say afterwards how
// often each effect was injected. Every effect could come from a real connection, apart from [ForgeAck] and [ForgeBatch],
// which lie.
package backendtest
