package zerobus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// A deafProvider does not look at its contexts. The method hangs returns only when the test ends.
type deafProvider struct {
	headers zerobus.HeadersFunc
	hangs   string
	ended   chan struct{}
}

func (p *deafProvider) Headers(ctx context.Context, name string) (map[string]string, error) {
	if p.hangs == "Headers" {
		<-p.ended
	}
	return p.headers(ctx, name)
}

func (p *deafProvider) Invalidate(context.Context, string) {
	if p.hangs == "Invalidate" {
		<-p.ended
	}
}

func granting(token string) zerobus.HeadersFunc {
	return func(_ context.Context, name string) (map[string]string, error) {
		return map[string]string{"authorization": "Bearer " + token, "x-databricks-zerobus-table-name": name}, nil
	}
}

// A provider may ask a vault without a time limit. The caller's time counts all the same.
func TestAProviderThatHangsHoldsUpNobody(t *testing.T) {
	refusal := zerobustest.Status(codes.Unauthenticated, "expired")
	t.Run("Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := quiet(t, zerobustest.Token("mine"))
			p := &deafProvider{headers: granting("mine"), hangs: "Invalidate", ended: make(chan struct{})}
			defer close(p.ended)
			s := open(t, sinkOf(srv, zerobus.Headers(p)))
			srv.End(table, refusal)
			synctest.Wait()
			closed := make(chan struct{})
			go func() {
				_ = s.Close()
				close(closed)
			}()
			select {
			case <-closed:
			case <-time.After(time.Second):
				t.Error("Close waits for Invalidate")
			}
		})
	})
	for _, hangs := range []string{"Headers", "Invalidate"} {
		t.Run("Open/"+hangs, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t, zerobustest.Token("mine"))
				srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Times: -1, Do: refusal})
				p := &deafProvider{headers: granting("mine"), hangs: hangs, ended: make(chan struct{})}
				defer close(p.ended)
				openEndsWithItsContext(t, sinkOf(srv, zerobus.Headers(p)))
			})
		})
	}
}

// openEndsWithItsContext opens a session for a second, in a synctest bubble, while a function of the caller hangs.
func openEndsWithItsContext(t *testing.T, sink backend.Sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		_, err := sink.NewAppender(jsonFormat).Open(ctx)
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrTransient) {
			t.Errorf("%v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("Open does not end with its context")
	}
}

// Another attempt would fail in the same way.
func TestHeadersThatAreTooLongAreFinal(t *testing.T) {
	srv := serve(t, zerobustest.AnyToken())
	token := strings.Repeat("secret", 5000)
	err := openWith(t, zerobus.Config{Endpoint: srv.Endpoint}, zerobus.Headers(granting(token)))
	if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTransient) {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "at most 16384") || !strings.Contains(err.Error(), "shorten") {
		t.Errorf("%v", err)
	}
}
