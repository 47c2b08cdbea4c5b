package durablestreams_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
)

// A body is its owner's again when the operation has returned, also where the server has answered before it read the whole,
// so that the transport is still at it.
func TestBodyIsNotReadAfterwards(t *testing.T) {
	for _, size := range []int{100, 1 << 20} {
		var late sync.WaitGroup
		begin := make(chan struct{})
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			late.Go(func() {
				<-begin
				if b, _ := io.ReadAll(r.Body); bytes.IndexByte(b, 'y') >= 0 {
					t.Errorf("%d bytes: the transport sees what became of the buffer", size)
				}
			})
			return &http.Response{StatusCode: http.StatusRequestEntityTooLarge, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
		})
		body := bytes.Repeat([]byte("x"), size)
		if _, err := s.Append(t.Context(), "text/plain", body); !errors.Is(err, backend.ErrTooLarge) {
			t.Error(err)
		}
		for i := range body {
			body[i] = 'y'
		}
		close(begin)
		late.Wait()
	}
}
