// Package batcher collects elements into batches, and bounds the bytes that it holds. Package producer uses it. The package knows
// nothing of records or networks and imports the standard library only, so it can also collect rows for SQL inserts, or the
// parts of HTTP bodies.
//
// Any number of goroutines put elements in. A single goroutine takes batches out, hands the elements on and releases each
// batch:
//
//	b := batcher.New[Event](batcher.BatchRecords(500), batcher.Linger(10*time.Millisecond))
//	go func() {
//		for {
//			batch, err := b.Take(ctx)
//			if err != nil {
//				return
//			}
//			store(batch.Items)
//			b.Release(batch)
//		}
//	}()
//	_, _, err := b.Put(ctx, &event, len(event.Payload), len(event.Payload))
//
// # When a batch is due
//
// The first of these reasons ends a batch:
//
//	Full    the next element would exceed BatchRecords or BatchBytes, or is blocked because BufferBytes is used up; or Hurry was called
//	Wanted  somebody waits for the batch (Want) and every batch taken before was released
//	Linger  Linger has passed since the first element
//	Flush   Flush was called
//	Close   Close was called
//
// These rules have three effects. A full batch never lingers. A blocked caller never waits for a timer. A lone caller who
// waits for an element pays no linger at all, while callers who wait at the same time still share a batch: their batch goes
// when the batch before is released, or when the linger ends, whichever comes first.
//
// # Bounds
//
// The batcher reserves room before an element is accepted, and Release gives the room back. Therefore the batcher and its
// taker together never hold more than BufferBytes, elements and batches included. Put blocks for room in order of arrival.
// The context of Put bounds the wait only: an accepted element stays accepted.
package batcher
