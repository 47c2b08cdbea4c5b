// Package boltstore keeps checkpoints in a bucket of a bbolt database.
//
// # Delivery
//
// [Store.SaveTx] stores a checkpoint in the caller's own transaction. When the effect of a record is in the same
// database, effect and offset are one commit: after a kill at any point either both are there or neither, and the record
// is processed exactly once.
//
//	err := db.Update(func(tx *bbolt.Tx) error {
//		if err := apply(tx, m.Value); err != nil {
//			return err
//		}
//		return store.SaveTx(tx, "orders/billing", m.Checkpoint())
//	})
//
// A consumer that has been replaced gets [backend.ErrFenced] from SaveTx. Returned from the function as above, it rolls
// the effect back with it.
//
// Claim and Save are transactions of their own and durable when they return, as far as the database is: with NoSync set
// they are as durable as its owner wants. All other promises are those of package checkpoint.
//
// # Sharing a database
//
// The database is the caller's, who opens and closes it, and may hold anything else beside the bucket. The file of the
// bolt backend is one, by its method Bolt: stream, effects and checkpoints then are one file. Several stores may use one
// bucket; all of them see the same keys. A bbolt database belongs to one process at a time.
//
// A page that is damaged while the database is open is an error of every method and names the file. bbolt's own Open is not
// guarded: a file that was cut short ends the process there. The bolt backend's Open refuses one.
package boltstore
