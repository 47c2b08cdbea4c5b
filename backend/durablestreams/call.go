package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// call makes one of the operations that are neither a producer's nor a consumer's, and tries again what may be tried again:
// repeatable says that doing it twice is doing it once.
func (s *Stream) call(ctx context.Context, op, method string, header http.Header, body []byte, repeatable bool) (info Info, err error) {
	unsure := false
	err = httpwire.Retry(ctx, s.client.retry, func(int) (again bool, err error) {
		if info, err = s.once(ctx, op, method, header, body); err == nil {
			return false, nil
		}
		switch {
		case !errors.Is(err, backend.ErrIndeterminate):
			if unsure { // this attempt stored nothing, but one before it may have
				err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
			}
		case repeatable:
			unsure = true
		default:
			err = &unrepeatable{err}
		}
		return errors.Is(err, backend.ErrTransient), err
	}, nil)
	if err != nil {
		return Info{}, s.failed(op, err)
	}
	return info, nil
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
		return Info{}, lost(err, method != http.MethodHead)
	}
	discard(resp.Body)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		info := infoOf(resp.Header)
		info.Created = resp.StatusCode == http.StatusCreated
		// A close without data is answered 204 also the first time. When that leaves the stream open, the identity is one that
		// an append without a close has had.
		info.Duplicate = resp.StatusCode == http.StatusNoContent && header.Get("Producer-Id") != "" && (len(body) > 0 || !info.Closed)
		return info, nil
	}
	return Info{}, statusError(op, resp)
}

// An unrepeatable error is that of an append which may be stored and which the server would not know again. A caller who takes
// it for transient would store the append twice.
type unrepeatable struct{ cause error }

func (e *unrepeatable) Error() string {
	return fmt.Sprintf("%v: %v (not tried again, as it could be stored twice: see Identity)", backend.ErrIndeterminate, e.cause)
}

// Is hides from errors.Is that the cause would be transient for an append with an identity.
func (e *unrepeatable) Is(target error) bool {
	return target == backend.ErrIndeterminate || target != backend.ErrTransient && errors.Is(e.cause, target)
}

// As finds what the cause is.
func (e *unrepeatable) As(target any) bool { return errors.As(e.cause, target) }
