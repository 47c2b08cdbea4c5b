// Package boltstore keeps checkpoints in a bucket of a bbolt database.
//
// # Delivery
//
// [Store.SaveTx] stores a checkpoint in the caller's own transaction. When the effect of a record is in the same
// database, effect and offset are one commit. After a kill at any point either both are stored or neither: the record is
// processed exactly once.
//
//	err := db.Update(func(tx *bbolt.Tx) error {
//		if err := apply(tx, m.Value); err != nil {
//			return err
//		}
//		return store.SaveTx(tx, "orders/billing", m.Checkpoint())
//	})
//
// A consumer that has been replaced gets [backend.ErrFenced] from SaveTx. When the function returns this error, as
// above, bbolt rolls the effect back.
//
// Claim and Save are transactions of their own. Both are durable when they return, as far as the database is durable:
// with NoSync set, the owner of the database decides when to sync. Package checkpoint documents all other promises.
//
// # Sharing a database
//
// The caller owns the database, opens it and closes it, and may keep anything else beside the bucket. The method Bolt of
// the bolt backend returns the database of a bolt file. In this database, stream, effects and checkpoints are one file.
// Several stores may use one bucket, and see the same keys. A bbolt database belongs to one process at a time.
//
// If a page is damaged while the database is open, every method returns an error that names the file. bbolt's own Open
// has no protection: a file that was cut short ends the process. The Open of the bolt backend refuses a cut file.
package boltstore
