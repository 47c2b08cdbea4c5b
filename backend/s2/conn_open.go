package s2

import (
	"context"
	"net"
	"net/http"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
)

// open sends the request and starts to receive. Then open asks for the incarnation of the stream, because offsets name the
// incarnation. ctx limits open alone. After a failure, the caller closes the conn.
func (c *conn) open(ctx context.Context) error {
	if err := c.request(ctx); err != nil {
		return err
	}
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

// request sends the request of the append session. The outbox is the body, so the request lasts as long as the session.
func (c *conn) request(ctx context.Context) (err error) {
	client := c.stream.client()
	var plain *settingsConn // nil with TLS: the bytes on the socket are encrypted, and their order says nothing
	c.transport = client.streaming(func(socket net.Conn) net.Conn {
		c.socketMu.Lock()
		defer c.socketMu.Unlock()
		c.sockets = append(c.sockets, socket) // the transport may dial again, and Close must cut every socket
		if client.basin.scheme == "http" {
			plain = newSettingsConn(socket)
			return plain
		}
		return socket
	})
	life := afterSettings(c.life, func() *settingsConn {
		c.socketMu.Lock()
		defer c.socketMu.Unlock()
		return plain
	})
	if c.coder, err = s2s.NewCoder(client.cfg.compression); err != nil {
		return err
	}
	req, err := c.stream.request(life, http.MethodPost, nil)
	if err != nil {
		return err
	}
	req.Body = c.out
	req.ContentLength = -1 // unknown: batches come as long as the session lasts
	req.Header.Set("Content-Type", "s2s/proto")
	req.Header.Set("Accept", protobuf)
	giveUp := func() {
		c.kill()
		_ = c.out.Close() // over HTTP/1.1, the transport waits for its read of the body even after the end of the request
	}
	res, err := client.open(ctx, giveUp, c.transport, req)
	if err != nil {
		return err
	}
	c.body = res.Body
	c.frames = s2s.NewReader(res.Body)
	return nil
}
