package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend"
)

// The waits between tries: random below a bound that doubles.
const (
	firstWait = 100 * time.Millisecond
	mostWait  = 10 * time.Second
)

// call makes one of the operations that are neither a producer's nor a consumer's, and tries again what may be tried again:
// repeatable says that doing it twice is doing it once.
func (s *Stream) call(ctx context.Context, op, method string, header http.Header, body []byte, repeatable bool) (Info, error) {
	bound := firstWait
	for try := 1; ; try++ {
		info, err := s.once(ctx, op, method, header, body)
		if err == nil {
			return info, nil
		}
		err = fmt.Errorf("durablestreams: %s: %w", op, err)
		safe := errors.Is(err, backend.ErrTransient) && (repeatable || !errors.Is(err, backend.ErrIndeterminate))
		if !safe || try >= s.client.tries || ctx.Err() != nil {
			return Info{}, err
		}
		wait := time.NewTimer(max(rand.N(bound), backend.RetryAfter(err)))
		bound = min(2*bound, mostWait)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return Info{}, err
		}
	}
}

func (s *Stream) once(ctx context.Context, op, method string, header http.Header, body []byte) (Info, error) {
	if err := sendable(header); err != nil {
		return Info{}, err
	}
	var payload io.ReadCloser
	if len(body) > 0 {
		payload = payloadOf(body)
		defer payload.Close() // the caller may write to body again
	}
	req, err := s.request(ctx, method, nil, payload)
	if err != nil {
		return Info{}, err
	}
	req.ContentLength = int64(len(body))
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := s.do(req)
	if err != nil {
		if method == http.MethodHead {
			return Info{}, fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		return Info{}, fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
	}
	discard(resp.Body)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		info := s.info(resp.Header)
		// Close-only appends are answered 204 also the first time.
		info.Duplicate = resp.StatusCode == http.StatusNoContent && header.Get("Producer-Id") != "" && len(body) > 0
		return info, nil
	}
	return Info{}, statusError(op, resp)
}
