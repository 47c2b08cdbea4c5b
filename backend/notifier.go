package backend

// A Notifier is a Reader that can say when a Read need not wait. With such a reader, a consumer that has waited for a while at the
// tail needs no goroutine for reading. The interface is optional, as io.WriterTo is: ask with a type assertion.
type Notifier interface {
	Reader

	// Notify returns true when the caller should call Read: a Read would return at once, with records, with [io.EOF] or with
	// another error, or the reader can wait only in Read for now. In the second case, a Read at the tail returns a batch without
	// records every few seconds, and after some of them Notify returns false.
	//
	// When Notify returns false, the reader calls f once: as soon as a Read would return without a wait for records, or after
	// Close. The reader may call f in any goroutine, with locks held, and before Notify has returned. So f must not block, and
	// must not call the reader.
	//
	// Notify is for the goroutine that calls Read. The goroutine must not call Notify again before f was called.
	Notify(f func()) bool
}
