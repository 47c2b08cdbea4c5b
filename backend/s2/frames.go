package s2

import (
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/redact"
)

// frames are the batches of an S2S session.
type frames struct {
	secrets func() redact.Secrets
	in      *s2s.Reader
	coder   *s2s.Coder
	decoder wire.Decoder
}

func (f *frames) next() (wire.Batch, bool, error) {
	flags, payload, err := f.in.Next()
	if err != nil {
		return wire.Batch{}, false, err
	}
	if flags.Terminal() {
		status, body, err := s2s.Terminal(payload)
		if err != nil {
			return wire.Batch{}, false, err
		}
		return wire.Batch{}, false, parseError(status, body, f.secrets())
	}
	if payload, err = f.coder.Open(flags, payload); err != nil {
		return wire.Batch{}, false, err
	}
	b, err := f.decoder.Decode(payload)
	if err != nil {
		return wire.Batch{}, false, &ProtocolError{err}
	}
	return b, flags.Reconnect(), nil
}
