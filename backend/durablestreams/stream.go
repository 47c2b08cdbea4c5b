package durablestreams

import (
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// A Stream is the address of one stream: a [backend.Sink] and a [backend.Source], and the protocol's own operations. Any
// goroutine may call its methods, and any number of producers and consumers may use it.
type Stream struct {
	client *Client
	name   string
	url    *url.URL
	config streamConfig

	// shortSSE counts SSE connections in a row that broke within shortLife. From shortLives on, readers use long-polls. Readers share
	// the count, because a consumer opens a new reader after each failure, and each reader makes a single connection.
	shortSSE atomic.Int32
}

var _ backend.Stream = (*Stream)(nil)

// Name is the name given to [Client.Stream].
func (s *Stream) Name() string { return s.name }

// URL is the address of the stream, without a password and without the query parameters of requests.
func (s *Stream) URL() string { return s.url.Redacted() }

// String names the server and the stream.
func (s *Stream) String() string { return s.client.String() + "/" + s.name }

// GoString is String: %#v prints no credentials.
func (s *Stream) GoString() string { return s.String() }

// LogValue is String: logs hold no credentials.
func (s *Stream) LogValue() slog.Value { return slog.StringValue(s.String()) }

// With returns the address of the same stream with further options, for one call or for many. s does not change.
func (s *Stream) With(opts ...StreamOption) *Stream {
	t := &Stream{client: s.client, name: s.name, url: s.url, config: s.config}
	for _, o := range opts {
		if o == nil {
			t.config.refuse(fmt.Errorf("%w: %w", backend.ErrRejected, errNilOption))
			continue
		}
		o(&t.config)
	}
	return t
}

// failed names the operation and the stream in an error. Of the URL the error shows only the host, because paths, queries and
// user names may be secret.
func (s *Stream) failed(op string, err error) error {
	return fmt.Errorf("durablestreams: %s %.80q at %s://%s: %w", op, s.name, s.url.Scheme, s.url.Host, err)
}
