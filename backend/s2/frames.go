package s2

import (
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/redact"
)

// frames is the source of a read session over HTTP/2: each frame of the S2S protocol holds a batch.
type frames struct {
	secrets func() redact.Secrets
	in      *s2s.Reader
	coder   *s2s.Coder
	decoder wire.Decoder
}

// next returns the batch of the next frame. reconnect says that the server asks for a new connection.
func (f *frames) next() (b wire.Batch, reconnect bool, err error) {
	flags, payload, err := f.in.Next()
	if err != nil {
		return b, false, err
	}
	// A terminal frame ends the session with the server's reason. Nothing behind the frame is read.
	if flags.Terminal() {
		status, body, err := s2s.Terminal(payload)
		if err != nil {
			return b, false, err
		}
		return b, false, parseError(status, body, f.secrets())
	}
	// The payload belongs to the records from here on: values alias it, and the caller keeps the values. So Next gives new memory
	// for each frame.
	if payload, err = f.coder.Open(flags, payload); err != nil {
		return b, false, err
	}
	b, err = f.decoder.Decode(payload)
	if err != nil {
		return wire.Batch{}, false, &ProtocolError{err}
	}
	// The advice is only passed on. The reader follows the advice behind the batch, so that no record of the batch is lost.
	return b, flags.Reconnect(), nil
}
