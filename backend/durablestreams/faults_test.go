package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// Whatever becomes of one append, all batches are stored in the end, in order and once.
func TestFaultsOnTheWay(t *testing.T) {
	status := func(code int) *http.Response {
		return &http.Response{StatusCode: code, Body: http.NoBody, Header: http.Header{"Location": {"http://elsewhere/"}}}
	}
	type answer = func() (*http.Response, error)
	faults := map[string]struct {
		meet func(n *network, no int, r *http.Request) answer
		want error // nil: fatal
	}{
		"no connection": {func(*network, int, *http.Request) answer {
			return func() (*http.Response, error) { return nil, errNetwork }
		}, backend.ErrTransient},
		"reset while it is written": {func(n *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) {
				_, _ = r.Body.Read(make([]byte, 1))
				n.tell(r, errNetwork)
				return nil, errNetwork
			}
		}, backend.ErrTransient},
		"reset behind it": {func(n *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) {
				_, _ = io.Copy(io.Discard, r.Body)
				n.tell(r, nil)
				return nil, errNetwork
			}
		}, backend.ErrIndeterminate},
		"answer lost": {func(n *network, no int, r *http.Request) answer {
			return func() (*http.Response, error) {
				if _, err := n.carry(no, r); err != nil {
					return nil, err
				}
				return nil, errNetwork
			}
		}, backend.ErrIndeterminate},
		"never written": {func(_ *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
		}, backend.ErrTransient},
		"never answered": {func(n *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) { n.tell(r, nil); <-r.Context().Done(); return nil, r.Context().Err() }
		}, backend.ErrTransient},
		"503 before it is written": {func(*network, int, *http.Request) answer {
			return func() (*http.Response, error) { return status(http.StatusServiceUnavailable), nil }
		}, backend.ErrTransient},
		"429": {func(n *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) { n.tell(r, nil); return status(http.StatusTooManyRequests), nil }
		}, backend.ErrTransient},
		"401": {func(n *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) { n.tell(r, nil); return status(http.StatusUnauthorized), nil }
		}, backend.ErrUnauthorized},
		"redirect": {func(n *network, _ int, r *http.Request) answer {
			return func() (*http.Response, error) { n.tell(r, nil); return status(http.StatusTemporaryRedirect), nil }
		}, nil},
	}
	for name, fault := range faults {
		for _, at := range []int{1, 2, 3, 5, 9, 40} {
			t.Run(fmt.Sprint(name, " ", at), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := &network{way: func(no int) time.Duration { return time.Duration(no%3+1) * time.Millisecond }}
					met := false
					n.fault = func(no int, r *http.Request) (func() (*http.Response, error), bool) {
						if no != at {
							return nil, false
						}
						met = true
						return fault.meet(n, no, r), true
					}
					lost := replay(t, n.over(t).NewAppender(jsonFormat), 50)
					n.server.wantOnce(t, 50, handful)
					if !met || len(lost) != 1 || fault.want != nil && !errors.Is(lost[0], fault.want) {
						t.Errorf("lost sessions: %v, want one for %v", lost, fault.want)
					}
					var status *durablestreams.Error
					if fault.want == nil && (!errors.As(lost[0], &status) || status.Status != 307 || errors.Is(lost[0], backend.ErrTransient)) {
						t.Errorf("%v, want status 307 and nothing transient", lost[0])
					}
				})
			})
		}
	}
}

// A token that was refused is asked for again by the next session, and only by that.
func TestFreshTokenAfterARefusedOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{}
		token := "old"
		n.fault = func(no int, r *http.Request) (func() (*http.Response, error), bool) {
			n.tell(r, nil)
			refused := no >= 10 && r.Header.Get("Authorization") == "old"
			return func() (*http.Response, error) {
				n.mu.Lock()
				defer n.mu.Unlock()
				token = "new"
				return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody, Header: http.Header{}}, nil
			}, refused
		}
		s := n.over(t, durablestreams.Header("Authorization", func(context.Context) (string, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			return token, nil
		}))
		if lost := replay(t, s.NewAppender(jsonFormat), 50); len(lost) != 1 || !errors.Is(lost[0], backend.ErrUnauthorized) {
			t.Errorf("lost sessions: %v, want one for the refused token", lost)
		}
		n.server.wantOnce(t, 50, handful)
	})
}
