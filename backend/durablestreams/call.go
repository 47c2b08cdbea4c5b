package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/outcome"
)

// call makes an operation besides those of producers and consumers, and tries again after a transient failure. repeatable means:
// to do the operation twice has the effect of once.
func (s *Stream) call(ctx context.Context, op, method string, header http.Header, body []byte, repeatable bool) (info Info, err error) {
	unsure := false
	err = httpwire.Retry(ctx, s.client.config.retry, func(int) (again bool, err error) {
		// Each attempt builds a request of its own, so it has fresh credentials and a fresh body.
		if info, err = s.attemptOnce(ctx, op, method, header, body); err == nil {
			return false, nil
		}
		switch {
		case !errors.Is(err, backend.ErrIndeterminate):
			if unsure { // this attempt stored nothing, but an earlier attempt may have stored the body
				err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
			}
		case repeatable:
			unsure = true
		default:
			err = unrepeatable(err)
		}
		// Retry waits as long as the server asks, and ends with the context of the caller.
		return errors.Is(err, backend.ErrTransient), err
	}, nil)
	if err != nil {
		return Info{}, s.failed(op, err)
	}
	return info, nil
}

// attemptOnce makes one attempt.
func (s *Stream) attemptOnce(ctx context.Context, op, method string, header http.Header, body []byte) (Info, error) {
	if err := sendable(header); err != nil {
		return Info{}, err
	}
	var payload io.ReadCloser
	if len(body) > 0 {
		payload = payloadOf(body)
		defer payload.Close() // the caller may write to body again
	}
	ctx, cancel := s.client.attempt(ctx)
	// The context bounds the reading of the answer too: discard reads from a server that may stall.
	defer cancel()
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
		return Info{}, lost(err, method != http.MethodHead)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		discard(resp.Body)
		info := infoOf(resp.Header)
		info.Created = resp.StatusCode == http.StatusCreated
		// The server answers a seal without data by 204 also the first time. If the stream is open after such an answer, an
		// append without a seal has had the identity.
		info.Duplicate = resp.StatusCode == http.StatusNoContent && header.Get("Producer-Id") != "" && (len(body) > 0 || !info.Closed)
		return info, nil
	}
	return Info{}, s.statusError(op, resp)
}

// unrepeatable returns the error of an append without an identity. The append may be stored, and the server would not recognize a
// resend: a caller who took the error for transient would store the body twice.
func unrepeatable(cause error) error {
	meaning := outcome.Of(cause)
	meaning.Retry, meaning.MaybeStored = false, true
	return meaning.Error(fmt.Errorf("%w: %w (not tried again, because the server could store the body twice: give the append an Identity)",
		backend.ErrIndeterminate, cause))
}
