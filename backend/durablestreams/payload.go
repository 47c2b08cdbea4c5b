package durablestreams

import (
	"io"
	"sync"
)

// A payload is the body of one request. The transport may still read it when the request has been answered or given up, so
// Close takes the bytes away from it, and they can be used again when Close has returned.
type payload struct {
	mu sync.Mutex
	b  []byte
}

func (p *payload) Read(dst []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(dst, p.b)
	p.b = p.b[n:]
	return n, nil
}

func (p *payload) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.b = nil
	return nil
}
