package durablestreams

// growAfter is how many batches the server has to accept before the window grows by one. Each growth may cost one batch that
// is sent twice, so at most about one batch in growAfter is sent twice, even if every batch that can come too early does.
const growAfter = 32

// A window says how many batches of one producer may be in flight at once. The lock of the appender guards it.
//
// The batches travel over several connections, where some overtake others. Most servers refuse a batch that comes too early,
// and the batch has to be sent a second time; our server lets such a batch wait. Once a server has refused one, a request
// starts only when the request before it was written to its connection. Some batches come too early even then, for example
// behind a proxy, or where the server has several processors. Then the window is halved, and it grows again while no batch
// comes too early.
type window struct {
	size           int    // batches
	ordered        bool   // a batch came too early, so the order of writing counts
	writesReported bool   // the transport reports when it has written a request; a transport of the caller's may not do so
	halvedAt       uint64 // batches with a lower seq were in flight already when the window was halved
	accepted       int    // batches accepted since the window changed
}

// tooEarly notes that the batch seq came too early, while the batches below next were in flight. The window is halved once
// for the batches that were in flight together.
func (w *window) tooEarly(seq, next uint64) {
	if seq >= w.halvedAt {
		w.size, w.halvedAt = max(w.size/2, 1), next
	}
	w.ordered, w.accepted = true, 0
}

// accept notes that the server has accepted a batch. limit is the largest size.
func (w *window) accept(limit int) {
	if w.accepted++; w.accepted >= growAfter {
		w.size, w.accepted = min(w.size+1, limit), 0
	}
}
