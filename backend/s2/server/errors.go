package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// An apiError is an answer about a failure. The code that finds the failure makes the apiError. The form of the request
// decides how to write the apiError: as an HTTP error, a terminal frame, or an SSE event.
//
// Clients decide by status and code whether to try again: S2 has a table of codes that are safe to retry, and of codes
// after which something may be stored. So a code must never be chosen for its name alone. The message is for people.
type apiError struct {
	status     int
	code       string
	message    string
	body       any           // replaces code and message: 412 and 416 have bodies without a code
	retryAfter time.Duration // 0: the answer does not ask for a pause
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

// json is the body of the answer. A terminal frame and an event carry the same body, so a client needs one parser.
func (e *apiError) json() []byte {
	body := e.body
	if body == nil {
		body = struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}{e.code, e.message}
	}
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // cannot happen: strings and numbers always marshal
	}
	return b
}

// write answers with e in one Write, because some clients parse only the first chunk of an error.
func (e *apiError) write(w http.ResponseWriter) {
	h := w.Header()
	b := e.json()
	h.Set("content-type", "application/json")
	h.Set("content-length", strconv.Itoa(len(b)))
	if e.retryAfter > 0 {
		h.Set("retry-after-ms", strconv.FormatInt(e.retryAfter.Milliseconds(), 10))
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(b) // an error means that the client is gone
}

// fail makes an apiError. The functions below make the usual ones: each pair of status and code stands in one place,
// because clients take an unexpected pair for an unknown error.
func fail(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return fail(http.StatusUnprocessableEntity, "invalid", format, args...)
}

func badRequest(code, format string, args ...any) error {
	return fail(http.StatusBadRequest, code, format, args...)
}

func basinNotFound(name string) error {
	return fail(http.StatusNotFound, "basin_not_found", "basin `%s` not found", name)
}

func streamNotFound(basin, name string) error {
	return fail(http.StatusNotFound, "stream_not_found", "stream `%s` in basin `%s` not found", name, basin)
}

// The two errors about a deletion are final for a client (409), although the name becomes free some time later: a
// client that tried again would create a stream that somebody has just deleted.
func streamDeleting(basin, name string) error {
	return fail(http.StatusConflict, "stream_deletion_pending",
		"stream `%s` in basin `%s` is being deleted: wait until the name is free, or use another name", name, basin)
}

func basinDeleting(name string) error {
	return fail(http.StatusConflict, "basin_deletion_pending",
		"basin `%s` is being deleted: wait until the name is free, or use another name", name)
}

func forbidden(format string, args ...any) error {
	return fail(http.StatusForbidden, "permission_denied", format, args...)
}

// draining says that nothing of the request was done. A client may therefore send an append again without the risk of
// storing it twice.
func draining() error {
	return fail(http.StatusServiceUnavailable, "server_draining", "the server is shutting down: connect again")
}

// answerTo returns the answer about err. An error that is not an apiError is a failure of the storage: the client gets
// status 500, and the log gets the cause. The client does not get the cause, because the cause may name files.
func (x *exchange) answerTo(err error) *apiError {
	// The errors of the handlers are never wrapped. An apiError inside another error would be logged as a failure of
	// the storage, and the client would get 500 instead of its refusal.
	if e, ok := err.(*apiError); ok {
		return e
	}
	x.report(err)
	return fail(http.StatusInternalServerError, "storage", "the storage of the server has failed: the log of the server has the cause")
}

// report logs a failure of the storage. Without the log, the operator of a server with a damaged file or a full disk
// would see failed requests, and nowhere a reason.
func (x *exchange) report(err error) {
	x.srv.cfg.Logger.LogAttrs(x.r.Context(), slog.LevelError, "s2: a request has failed in the storage",
		slog.String("method", x.r.Method), slog.String("basin", x.r.Header.Get("s2-basin")), slog.String("stream", x.stream),
		slog.Any("error", err))
}

func checkUTF8(what string, b []byte) error {
	if !utf8.Valid(b) {
		return invalid("%s is not UTF-8", what)
	}
	return nil
}
