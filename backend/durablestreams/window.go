package durablestreams

// growAfter is how many batches the server has to accept before the window grows by one. Each growth may cost one batch sent
// twice. Therefore at most about one batch in 32 is sent twice, three percent of the traffic, even if every batch comes too
// early when possible.
const growAfter = 32

// A window says how many batches of one producer may be in flight at once. The lock of the appender guards it.
//
// The batches travel over several connections, where some overtake others. Most servers refuse a batch that comes too early,
// and the batch has to be sent a second time; our server lets the batch wait. After the first refusal, a request starts only
// when the request before was written to its connection. Some batches come too early even then, for example behind a proxy, or
// where the server has several processors. Each time the window is halved, and the window grows again while batches arrive in
// order.
type window struct {
	size           int    // batches
	ordered        bool   // a batch came too early: the order of writing counts
	writesReported bool   // the transport reports the writing of a request; a caller's own transport may not
	halvedAt       uint64 // batches with a lower seq were in flight already when the window was halved
	accepted       int    // batches accepted since the window changed
}

// tooEarly notes an early batch seq, while the batches below next were in flight. The window is halved once for all batches in
// flight together.
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
