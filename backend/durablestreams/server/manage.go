package server

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// create answers a PUT: 201 for a new stream, and 200 for a stream that exists with the same configuration. So a client
// may repeat a PUT whose answer was lost.
func (h *handler) create(w http.ResponseWriter, r *http.Request, name string) error {
	c, err := h.readCreation(w, r)
	if err != nil {
		return err
	}
	info, created, err := h.storage.Create(r.Context(), name, c)
	if err != nil {
		return err
	}
	header := w.Header()
	header["Cache-Control"] = noStore
	header.Set("Content-Type", info.ContentType)
	header.Set("Stream-Next-Offset", info.Tail.String())
	header.Set("Headrace-Stream-Id", info.ID)
	if info.Closed {
		header["Stream-Closed"] = yes
	}
	if !created {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	h.stats.stored(c.Data)
	scheme := "http"
	// The server believes no Forwarded header, because any client can send one. Behind a proxy that ends TLS, the
	// Location therefore has the scheme of the connection to the proxy.
	if r.TLS != nil {
		scheme = "https"
	}
	header.Set("Location", (&url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath}).String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// readCreation reads a PUT.
func (h *handler) readCreation(w http.ResponseWriter, r *http.Request) (c Creation, err error) {
	c = Creation{ContentType: contentTypeOf(r), Closed: closes(r)}
	if err := expiry(r, &c); err != nil {
		return c, err
	}
	if err := h.fork(r, &c); err != nil {
		return c, err
	}
	body, err := h.body(w, r)
	if err != nil {
		return c, err
	}
	// The fault strikes also for a PUT without a body: its headers are the whole request.
	if err := received(w); err != nil || len(body) == 0 {
		return c, err
	}
	contentType := c.ContentType
	if contentType == "" && c.Fork != nil {
		// We split the body by the type that the fork will inherit. Another stream may take the name of the source
		// meanwhile. So we name the type from here on, and the storage refuses the fork if the new source has another
		// type.
		source, err := h.storage.Head(r.Context(), c.Fork.Source)
		if err != nil {
			return c, err
		}
		contentType = source.ContentType
		c.ContentType = contentType
	}
	// A body that cannot be stored refuses the whole creation: no stream is made without its first data.
	c.Data, err = content(body, contentType)
	return c, err
}

// contentTypeOf returns the type that a PUT names, or "" if the PUT names no type. If only a parameter is invalid, the
// type is still valid.
func contentTypeOf(r *http.Request) string {
	contentType := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case errors.Is(err, mime.ErrInvalidMediaParameter):
		contentType = media
	case err != nil:
		return ""
	}
	if !strings.Contains(contentType, "/") {
		return ""
	}
	return contentType
}

// expiry reads when the stream expires. Two rules in one request are refused, because a server that took one of them
// would remove data earlier or later than the client expects.
func expiry(r *http.Request, c *Creation) error {
	ttl, hasTTL := r.Header["Stream-Ttl"]
	at, hasDeadline := r.Header["Stream-Expires-At"]
	if hasTTL && hasDeadline {
		return fmt.Errorf("%w: Stream-TTL and Stream-Expires-At exclude each other", ErrRequest)
	}
	if hasTTL {
		// One spelling for each number: a repeated PUT compares numbers, and a proxy or test may compare texts.
		n, ok := canonical(ttl[0])
		if !ok {
			return fmt.Errorf("%w: Stream-TTL is a whole number of seconds", ErrRequest)
		}
		c.TTL = TTL{Set: true, Seconds: n}
	}
	if hasDeadline {
		t, err := time.Parse(time.RFC3339Nano, at[0])
		if err != nil {
			return fmt.Errorf("%w: Stream-Expires-At is an RFC 3339 time", ErrRequest)
		}
		c.Deadline = t.UTC()
	}
	return nil
}

// fork reads where the new stream branches off. The source is a stream of this server. The request must be allowed for
// the source too: a fork shows all data of its source.
func (h *handler) fork(r *http.Request, c *Creation) error {
	from := r.Header.Get("Stream-Forked-From")
	at, hasAt := r.Header["Stream-Fork-Offset"]
	sub, hasSub := r.Header["Stream-Fork-Sub-Offset"]
	if from == "" {
		if hasSub || hasAt {
			return fmt.Errorf("%w: a fork offset without Stream-Forked-From", ErrRequest)
		}
		return nil
	}
	u, err := url.Parse(from)
	// A URL of another server cannot be read here. To take only its path would fork a stream of this server that the
	// client did not mean.
	if err != nil || u.Host != "" && u.Host != r.Host {
		return fmt.Errorf("%w: Stream-Forked-From is no path of this server", ErrRequest)
	}
	f := &Fork{At: Now}
	if f.Source, err = h.name(u.Path); err != nil {
		return err
	}
	if err := h.allow(r, f.Source); err != nil {
		return err
	}
	if hasAt {
		if f.At, err = ParsePosition(at[0]); err != nil {
			return err
		}
	}
	if hasSub {
		n, ok := canonical(sub[0])
		if !ok {
			return fmt.Errorf("%w: Stream-Fork-Sub-Offset is a whole number", ErrRequest)
		}
		f.Sub = n
	}
	c.Fork = f
	return nil
}

// delete removes a stream. A stream with forks only disappears from readers: see drop.
func (h *handler) delete(w http.ResponseWriter, r *http.Request, name string) error {
	if err := h.storage.Delete(r.Context(), name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// head describes the stream. Nothing in the answer may be cached: a client asks for the tail in order to begin there.
func (h *handler) head(w http.ResponseWriter, r *http.Request, name string) error {
	info, err := h.storage.Head(r.Context(), name)
	if err != nil {
		return err
	}
	header := w.Header()
	header["Cache-Control"] = noStore
	header.Set("Content-Type", info.ContentType)
	header.Set("Stream-Next-Offset", info.Tail.String())
	header.Set("Headrace-Stream-Id", info.ID)
	if info.Closed {
		header["Stream-Closed"] = yes
	}
	if info.TTL.Set {
		header.Set("Stream-TTL", strconv.FormatInt(info.TTL.Seconds, 10))
	}
	if !info.Deadline.IsZero() {
		header.Set("Stream-Expires-At", info.Deadline.Format(time.RFC3339Nano))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
