package s2

import (
	"context"
	"errors"
	"net/http"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/h2"
	"github.com/headrace/headrace/internal/misconfig"
)

// open sends the request and starts to receive. Then open asks for the incarnation of the stream, because offsets name the
// incarnation. ctx limits open alone. After a failure, the caller closes the conn.
func (c *conn) open(ctx context.Context) error {
	if err := c.request(ctx); err != nil {
		return err
	}
	// receive runs before the question for the incarnation: only receive reads the connection, and an unread connection looks
	// dead to both sides.
	go c.receive()
	if c.stream.cfg.bareOffsets {
		return nil
	}
	suffix, err := c.stream.holdIncarnation(ctx)
	if err != nil {
		return err
	}
	c.suffix = suffix
	// An append session in use proves the existence of its stream, but the server tells an idle append session nothing of a
	// deletion. The incarnation must not count such a session as proof.
	c.stream.releaseIncarnation()
	return nil
}

// request sends the request of the append session. The request lasts as long as the session: Write sends each batch as a part
// of its body.
func (c *conn) request(ctx context.Context) (err error) {
	client := c.stream.client()
	if c.coder, err = client.coders.New(client.cfg.compression); err != nil {
		return err
	}
	// The request belongs to c.life and not to ctx, because ctx limits the opening alone.
	life, accepted := h2.Await(c.life)
	req, err := c.stream.request(life, http.MethodPost, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "s2s/proto")
	req.Header.Set("Accept", protobuf)
	// The server answers with a status at once, before the first batch. A wrong token or name is therefore an error of the
	// opening.
	res, err := client.open(ctx, c.kill, client.writes, req)
	// A server that refuses a request has done nothing, so a second attempt is safe. Some servers refuse what comes before our
	// ack of their SETTINGS: without this attempt, they would refuse every opening for the same reason.
	if errors.Is(err, h2.ErrRefused) {
		res, err = client.open(ctx, c.kill, client.writes, req.WithContext(h2.AfterSettings(life)))
	}
	if err != nil {
		return err
	}
	// A response without a Stream came from a RoundTripper of the caller. Nothing could be written then, and the first batch
	// would fail with an error that does not name the cause.
	if c.out = accepted(); c.out == nil {
		_ = res.Body.Close()
		return &misconfig.Error{
			Hint: "let the next RoundTripper answer every request",
			Err:  errors.New("the RoundTripper of the client has answered the request of an append session itself"),
		}
	}
	c.body = res.Body
	c.frames = s2s.NewReader(res.Body)
	return nil
}
