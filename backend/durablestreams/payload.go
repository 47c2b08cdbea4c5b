package durablestreams

import (
	"bytes"
	"io"
	"sync"
)

// oneWrite is the largest body to be copied. The transport writes the headers and a body of a known type, bytes.Reader for
// example, in a single packet; for our own type payload the transport writes the headers first. Beside a body of more than
// 4 KiB a second packet counts little, and the body is not copied.
const oneWrite = 4 << 10

// payloadOf makes b the body of one request. When the payload is closed, the owner of b may use b again.
func payloadOf(b []byte) io.ReadCloser {
	if len(b) <= oneWrite {
		// The clone belongs to the request alone, so nothing has to be taken back later.
		return io.NopCloser(bytes.NewReader(bytes.Clone(b)))
	}
	return &payload{b: b}
}

// A payload is the body of one request. The transport may go on reading a body after the answer, or after the request was given
// up. Close takes the bytes away from the transport, so the owner can use the bytes again when Close has returned.
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
	// The copy is made under the lock. Otherwise Close could give the bytes back while the transport reads them, and
	// another batch would go out in their place.
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
