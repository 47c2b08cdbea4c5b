package durablestreams

import (
	"bytes"
	"io"
	"sync"
)

// oneWrite is how large a body may be to leave in one packet with its headers, as the transport does with readers it knows.
const oneWrite = 4 << 10

// payloadOf makes b the body of one request. b is its owner's again when the payload was closed.
func payloadOf(b []byte) io.ReadCloser {
	if len(b) <= oneWrite {
		return io.NopCloser(bytes.NewReader(bytes.Clone(b)))
	}
	return &payload{b: b}
}

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
