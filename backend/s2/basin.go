package s2

import (
	"github.com/headrace/headrace/backend/s2/internal/names"
)

// A Basin holds streams. Package admin creates basins and streams.
type Basin struct {
	client *Client
	name   string
}

// Basin addresses a basin. It does no I/O. The first call refuses a wrong name.
func (c *Client) Basin(name string) *Basin { return &Basin{client: c, name: name} }

// Name returns the name of the basin.
func (b *Basin) Name() string { return b.name }

// String names the server and the basin.
func (b *Basin) String() string { return b.client.String() + "/" + b.name }

func (b *Basin) url(segments ...string) string { return b.client.basin.at(b.name, segments...) }

// check refuses a name that would make the URL of something else.
func (b *Basin) check(stream string) error { return names.CheckStream(b.name, stream) }
