package durablestreams_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// status makes an answer without data.
func status(r *http.Request, code int) *http.Response {
	resp := reply(r, "application/octet-stream", "", false)
	resp.StatusCode, resp.Body = code, io.NopCloser(strings.NewReader(""))
	if code >= 400 {
		resp.Header = http.Header{}
	}
	return resp
}

// idle reads an idle stream for an hour and returns what ended the reading.
func idle(t *testing.T, s *durablestreams.Stream) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	r, err := s.OpenReader(ctx, backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for ctx.Err() == nil && err == nil {
		_, err = r.Read(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// A cache may answer a long-poll at once and always alike. A reader then asks once or twice a second, and not as fast as it can.
func TestAnswersAtOnceAreNotAskedForInAHotLoop(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) *http.Response{
		"204":             func(r *http.Request) *http.Response { return status(r, http.StatusNoContent) },
		"empty 200":       func(r *http.Request) *http.Response { return status(r, http.StatusOK) },
		"gateway timeout": func(r *http.Request) *http.Response { return status(r, http.StatusGatewayTimeout) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				polls := 0
				s := answering(t, func(r *http.Request) (*http.Response, error) {
					if r.URL.Query().Get("live") == "" {
						return status(r, http.StatusOK), nil
					}
					if polls++; polls > 10_000 {
						t.Error("10,000 requests while nothing moves")
						return status(r, http.StatusNotFound), nil
					}
					return answer(r), nil
				})
				if err := idle(t, s); err != nil || polls < 3500 || polls > 7300 {
					t.Errorf("%d requests in an hour, %v", polls, err)
				}
			})
		})
	}
}

// What moves is asked for without a pause, also behind answers that did not.
func TestMovingStreamIsReadWithoutPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			switch r.URL.Query().Get("live") {
			case "":
				return reply(r, "application/json", "[]", false), nil
			default:
				polls++
				answer := reply(r, "application/json", "[1]", false)
				answer.Header.Set("Stream-Next-Offset", "5"+strings.Repeat("5", polls))
				return answer, nil
			}
		})
		begun := time.Now()
		r, err := s.With(durablestreams.LongPoll()).OpenReader(t.Context(), "5/0")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range 100 {
			if _, err := r.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 0 || polls != 99 {
			t.Errorf("%d polls took %v", polls, took)
		}
	})
}

// A gateway that waits less long than the server for an answer says 504, 408 or 524. The reader finds by a request that does not
// wait that the server behind the gateway is well, and goes on.
func TestGatewayThatEndsEachWaitDoesNotEndAReader(t *testing.T) {
	for _, code := range []int{http.StatusGatewayTimeout, http.StatusRequestTimeout, 524} {
		synctest.Test(t, func(t *testing.T) {
			polls, others := 0, 0
			s := answering(t, func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("live") == "" {
					others++
					return status(r, http.StatusOK), nil
				}
				polls++
				time.Sleep(2 * time.Second)
				return status(r, code), nil
			})
			if err := idle(t, s); err != nil || polls < 1790 || others < polls || others > polls+1 {
				t.Errorf("%d: %d waits, %d other requests, %v", code, polls, others, err)
			}
		})
	}
}
