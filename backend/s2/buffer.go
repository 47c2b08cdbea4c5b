package s2

import "sync"

// buffers holds memory for frames, for all append sessions of the process. A session borrows a buffer for one Write. With a
// buffer of its own, each idle session would hold the memory of its largest batch.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func borrowBuffer() *[]byte { return buffers.Get().(*[]byte) }

func returnBuffer(b *[]byte) { buffers.Put(b) }
