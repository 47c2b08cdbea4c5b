package s2

import (
	"log/slog"

	"github.com/headrace/headrace/backend/s2/internal/names"
)

// A Basin holds streams. Package admin creates basins and streams.
type Basin struct {
	client *Client
	name   string
}

// Basin addresses a basin, without I/O. The first call refuses a wrong name.
func (c *Client) Basin(name string) *Basin { return &Basin{client: c, name: name} }

// Name returns the name of the basin.
func (b *Basin) Name() string { return b.name }

// String names the server and the basin.
func (b *Basin) String() string { return b.client.String() + "/" + b.name }

// GoString is String, so that %#v does not print credentials.
func (b *Basin) GoString() string { return b.String() }

// LogValue is String, so that logs do not hold credentials.
func (b *Basin) LogValue() slog.Value { return slog.StringValue(b.String()) }

// Stream addresses a stream, without I/O. The first call refuses a wrong name or option with [backend.ErrRejected].
func (b *Basin) Stream(name string, opts ...StreamOption) *Stream {
	s := &Stream{basin: b, name: name, incarnation: new(incarnation)}
	if s.cfg, s.fault = completeStream(opts); s.fault == nil {
		s.fault = names.CheckStream(b.name, name)
	}
	return s
}

func (b *Basin) url(segments ...string) string { return b.client.basin.at(b.name, segments...) }
