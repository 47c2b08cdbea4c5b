// Package batcher collects elements into batches under a byte budget. It knows no records and no network, imports the
// standard library only and stands under the producer; it serves as well in front of SQL inserts or HTTP bodies.
//
// Any number of goroutines put elements in; one goroutine takes batches out, hands them on and releases them:
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
// The first of these ends a batch:
//
//	Full    the next element would exceed BatchRecords or BatchBytes, or is blocked because BufferBytes is used up
//	Wanted  somebody waits for the batch (Want) and nothing taken is unreleased
//	Linger  Linger has passed since its first element
//	Flush   Flush was called
//	Close   Close was called
//
// So a full batch never lingers, a blocked caller never waits for a timer, and a lone caller who waits for his element
// pays no linger at all, while callers who wait at the same time still share a batch: theirs goes when the one before it
// is released, or when its linger ends, whichever comes first.
//
// # Bounds
//
// Room is reserved before an element is accepted and given back by Release: what the batcher and its taker hold
// together, elements and batches, never exceeds BufferBytes. Put blocks for room in order of arrival, and its context
// bounds that wait only: an element that was accepted stays accepted.
package batcher
