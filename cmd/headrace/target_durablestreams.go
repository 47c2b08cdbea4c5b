package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/headrace/headrace/backend/durablestreams"
)

// openDurableStreams opens ds+http://host/path: the last segment of the path is the stream. A bearer token may be in
// DURABLE_STREAMS_TOKEN. The token is not in the URL, because URLs end in the history of the shell and in the key of a
// copy.
func openDurableStreams(_ context.Context, u *url.URL, t *target) error {
	base := *u
	base.Scheme = strings.TrimPrefix(u.Scheme, "ds+")
	i := strings.LastIndexByte(base.Path, '/')
	if i < 0 || i+1 == len(base.Path) || base.Host == "" {
		return fmt.Errorf("%w: write ds+http://HOST/PATH/STREAM", errUsage)
	}
	// The rest of the path belongs to the server, and servers differ in it.
	name := base.Path[i+1:]
	// RawPath goes, because it would win over the shorter Path.
	base.Path, base.RawPath = base.Path[:i+1], ""
	var opts []durablestreams.Option
	if token := os.Getenv("DURABLE_STREAMS_TOKEN"); token != "" {
		opts = append(opts, durablestreams.Header("Authorization", durablestreams.Static("Bearer "+token)))
	}
	client, err := durablestreams.New(base.String(), opts...)
	if err != nil {
		return err
	}
	s := client.Stream(name)
	t.sink, t.source = s, s
	t.close = client.Close
	// The content type is fixed at the creation: the protocol has no way to change it later.
	t.create = func(ctx context.Context, contentType string) error {
		_, err := s.Create(ctx, contentType)
		return err
	}
	// The protocol cannot count records, so the facts are what a HEAD request tells.
	t.head = func(ctx context.Context) ([]fact, error) {
		info, err := s.Head(ctx)
		if err != nil {
			return nil, err
		}
		return []fact{{"content type", info.ContentType}, {"tail", string(info.Next)}, {"sealed", fmt.Sprint(info.Closed)}}, nil
	}
	// trim stays nil: the protocol lets only the server drop the beginning of a stream.
	t.seal = s.Seal
	t.remove = s.Delete
	return nil
}
