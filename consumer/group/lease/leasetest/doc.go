// Package leasetest checks whether a store of leases keeps the contract of package lease.
//
//	func TestContract(t *testing.T) {
//		leasetest.Run(t, func(t *testing.T) lease.Store { return mystore.New(…) })
//	}
package leasetest
