package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/internal/calls"
	"github.com/headrace/headrace/internal/fault"
)

// A handler serves a Storage over HTTP.
type handler struct {
	Config
	storage Storage
	faults  fault.Set[Op, Stage, Effect]
	stats   counters

	// live holds the requests that wait: readers, batches that came too early, and requests that a fault delays.
	// endWaits ends them; otherwise a shutdown would wait for the readers. The lock of live is never held together with
	// a lock of the storage.
	live struct {
		sync.Mutex
		closed bool
		ends   map[*http.Request]context.CancelFunc
	}
}

func newHandler(c Config) *handler {
	h := &handler{Config: c.complete(), storage: c.Storage}
	h.live.ends = map[*http.Request]context.CancelFunc{}
	return h
}

// endWaits ends everything that waits, as if its time were over. Later requests do not wait.
func (h *handler) endWaits() {
	h.live.Lock()
	defer h.live.Unlock()
	h.live.closed = true
	for _, end := range h.live.ends {
		end()
	}
}

// waitContext returns a context that ends with the request, after d, or by endWaits. The caller must call the returned
// function.
func (h *handler) waitContext(r *http.Request, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(r.Context(), d)
	h.live.Lock()
	defer h.live.Unlock()
	// A request that begins to wait after endWaits must not wait: nobody would end it.
	if h.live.closed {
		cancel()
	}
	h.live.ends[r] = cancel
	return ctx, func() {
		cancel()
		h.live.Lock()
		defer h.live.Unlock()
		delete(h.live.ends, r)
	}
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	w := &reply{Response: calls.Response{ResponseWriter: to}, handler: h, request: r, op: opOf(r)}
	whole := false
	h.stats.calls.Begin()
	defer func() { h.stats.calls.End(w.op.name(), w.Status(whole)) }()
	header := w.Header()
	header["X-Content-Type-Options"] = nosniff
	header["Cross-Origin-Resource-Policy"] = crossOrigin
	if h.Origin != "" {
		h.allowOrigin(header)
	}
	// Every refusal comes back here as an error, so each has the same form, and the body of the request is passed over
	// once.
	err := h.serve(w, r)
	// An answer before the end of the body would break the connection for some clients: they send on, and get a reset
	// in place of the answer.
	if err != nil && !errors.Is(err, errStalled) { // a stalled client has had its time
		_ = h.passOver(w, r)
	}
	if err != nil {
		h.refuse(w, r, w.stream, err)
	}
	// A client that has left gets no answer, whatever the error says.
	whole = err == nil || r.Context().Err() == nil
}

func (h *handler) serve(w *reply, r *http.Request) error {
	// The other methods have no use for a body. It is read now, because the next request of the connection comes behind
	// it.
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		if err := h.passOver(w, r); err != nil {
			return err
		}
	}
	// A preflight comes without credentials, so it is answered before Authorize is asked.
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	name, err := h.name(r.URL.Path)
	if err != nil {
		return err
	}
	w.stream = name
	// Faults strike before Authorize, because a fault stands for a network or a server that does not get so far.
	if err := w.strike(Arrived); err != nil {
		return err
	}
	if err := h.allow(r, name); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPut:
		return h.create(w, r, name)
	case http.MethodPost:
		return h.append(w, r, name)
	case http.MethodGet:
		return h.read(w, r, name)
	case http.MethodHead:
		return h.head(w, r, name)
	case http.MethodDelete:
		return h.delete(w, r, name)
	}
	w.Header().Set("Allow", methods)
	return errMethod
}

var (
	nosniff     = []string{"nosniff"}
	crossOrigin = []string{"cross-origin"}
	yes         = []string{"true"}
	noStore     = []string{"no-store"}
)

const methods = "GET, POST, PUT, DELETE, HEAD, OPTIONS"

var (
	errMethod       = errors.New("server: method not allowed")
	errTooLarge     = errors.New("server: the body is too large")
	errStalled      = errors.New("server: the body stands still")
	errUnauthorized = errors.New("server: not authorized")
	errForbidden    = errors.New("server: forbidden")
)

// allowOrigin lets web pages of other origins use the protocol.
func (h *handler) allowOrigin(header http.Header) {
	header["Access-Control-Allow-Origin"] = []string{h.Origin}
	header["Access-Control-Allow-Methods"] = allowMethods
	header["Access-Control-Allow-Headers"] = allowHeaders
	header["Access-Control-Expose-Headers"] = exposeHeaders
	if h.Origin != "*" {
		header.Add("Vary", "Origin")
	}
}

var (
	allowMethods = []string{methods}
	allowHeaders = []string{"Content-Type, Authorization, If-None-Match, Stream-Seq, Stream-TTL, Stream-Expires-At, Stream-Closed, " +
		"Stream-Forked-From, Stream-Fork-Offset, Stream-Fork-Sub-Offset, Producer-Id, Producer-Epoch, Producer-Seq"}
	exposeHeaders = []string{"Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, Stream-Closed, Producer-Epoch, Producer-Seq, " +
		"Producer-Expected-Seq, Producer-Received-Seq, ETag, Location, Stream-SSE-Data-Encoding, Stream-TTL, Stream-Expires-At, Retry-After, Headrace-Stream-Id, Headrace-Start-Offset"}
)

// nameBytes bounds the name of a stream, because the name is a key of the storage.
const nameBytes = 4 << 10

// name returns the stream of a path, or refuses the path.
func (h *handler) name(path string) (string, error) {
	if len(path) > nameBytes || strings.IndexByte(path, 0) >= 0 {
		return "", ErrRequest
	}
	// Proxies and clients resolve dots in a path. If the server took the dots as they are, one stream would have
	// several names, and a rule of a proxy for one name would not hold for the others.
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case ".", "..":
			return "", ErrRequest
		case "__ds":
			return "", ErrNotFound // the protocol reserves __ds for subscriptions, which this server does not serve
		}
	}
	name, ok := h.Path(path)
	if !ok {
		return "", ErrNotFound
	}
	return name, nil
}

// allow asks Authorize. A request without credentials gets 401, so that a browser or client asks its user for them;
// with credentials that are not enough it gets 403, because asking again would not help.
func (h *handler) allow(r *http.Request, name string) error {
	if h.Authorize == nil || h.Authorize(r, name) == nil {
		return nil
	}
	if r.Header.Get("Authorization") == "" {
		return errUnauthorized
	}
	return errForbidden
}

// statuses are the answers to errors without details. The first error that matches decides.
var statuses = []struct {
	err    error
	status int
}{
	{ErrRequest, http.StatusBadRequest},
	{errUnauthorized, http.StatusUnauthorized},
	{errForbidden, http.StatusForbidden},
	{ErrNotFound, http.StatusNotFound},
	{errMethod, http.StatusMethodNotAllowed},
	{ErrExists, http.StatusConflict},
	{ErrClosed, http.StatusConflict},
	{ErrType, http.StatusConflict},
	{ErrSequence, http.StatusConflict},
	{ErrGone, http.StatusGone},
	{errStalled, http.StatusRequestTimeout}, // clients take 408 for a network fault, and try again
	{errTooLarge, http.StatusRequestEntityTooLarge},
	{ErrStopped, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
}

// refuse answers with the status of an error. Details that clients act on go into headers; the text is for people, and
// names the stream. The text of a server error (5xx) is not sent, because it may name files. stream is "" if the request
// was refused before its stream was known.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, stream string, err error) {
	status := statusOf(w.Header(), err)
	w.Header()["Cache-Control"] = noStore
	text := http.StatusText(status)
	if status < http.StatusInternalServerError {
		text = strings.TrimPrefix(err.Error(), "server: ")
		if stream != "" {
			text = fmt.Sprintf("stream %.80q: %s", stream, text)
		}
	}
	h.report(r, stream, status, err)
	http.Error(w, text, status)
}

// report logs the cause of a failure of the server itself. Without the log, the operator of a server with a damaged file
// would see answers with the status 500, and nowhere a reason.
func (h *handler) report(r *http.Request, stream string, status int, err error) {
	var injected *injectedError
	if status != http.StatusInternalServerError || errors.As(err, &injected) {
		return
	}
	h.Logger.LogAttrs(r.Context(), slog.LevelError, "durable streams: a request has failed in the storage",
		slog.String("method", r.Method), slog.String("stream", stream), slog.Any("error", err))
}

func statusOf(header http.Header, err error) int {
	var (
		stale    *StaleEpochError
		gap      *GapError
		injected *injectedError
	)
	switch {
	case errors.As(err, &injected):
		if injected.pause > 0 {
			header.Set("Retry-After", strconv.Itoa(int(injected.pause.Seconds())))
		}
		return injected.status
	// Producers act on these headers and not on the text: they begin a later epoch, or send the missing batches.
	case errors.As(err, &stale):
		header.Set("Producer-Epoch", strconv.FormatInt(stale.Epoch, 10))
		return http.StatusForbidden
	case errors.As(err, &gap):
		header.Set("Producer-Expected-Seq", strconv.FormatInt(gap.Expected, 10))
		header.Set("Producer-Received-Seq", strconv.FormatInt(gap.Received, 10))
		return http.StatusConflict
	}
	for _, s := range statuses {
		if !errors.Is(err, s.err) {
			continue
		}
		switch s.status {
		case http.StatusUnauthorized:
			header.Set("WWW-Authenticate", "Bearer")
		// The server is restarting, or the request has ended. A second is enough for a restart, and short for a client.
		case http.StatusServiceUnavailable:
			header.Set("Retry-After", "1")
		}
		return s.status
	}
	// What no Storage documents is a fault of the server: a damaged file, a full disk.
	return http.StatusInternalServerError
}
