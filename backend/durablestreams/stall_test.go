package durablestreams_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// A drip is a body whose pieces come with a pause between them. Behind the last piece, a drip that stalls waits for the end of
// the request.
type drip struct {
	pieces []string
	pause  time.Duration
	stalls bool
	ctx    context.Context
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.pieces) == 0 {
		if !d.stalls {
			return 0, io.EOF
		}
		<-d.ctx.Done()
		return 0, d.ctx.Err()
	}
	time.Sleep(d.pause)
	n := copy(p, d.pieces[0])
	d.pieces = d.pieces[1:]
	return n, nil
}

func (*drip) Close() error { return nil }

// Without a bound, the reader would wait for as long as its caller: the connection lives, and only the server has stopped.
func TestResponseThatStopsIsTransient(t *testing.T) {
	for name, c := range map[string]struct {
		live   bool // the response to a request that waits stops; otherwise that to the first request
		status int
		pieces []string
	}{
		"records":             {false, http.StatusOK, []string{`["first",`, `"sec`}},
		"nothing":             {false, http.StatusOK, nil},
		"records of a poll":   {true, http.StatusOK, []string{`["first",`, `"sec`}},
		"a refusal":           {false, http.StatusServiceUnavailable, []string{"try "}},
		"a refusal of a poll": {true, http.StatusServiceUnavailable, []string{"try "}},
		"a gateway's timeout": {true, http.StatusGatewayTimeout, []string{"no answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := answering(t, func(r *http.Request) (*http.Response, error) {
					resp := reply(r, "application/json", "[]", false)
					if (r.URL.Query().Get("live") != "") == c.live {
						resp.StatusCode = c.status
						resp.Header.Set("Stream-Next-Offset", "6")
						resp.Body = &drip{pieces: c.pieces, stalls: true, ctx: r.Context()}
					}
					return resp, nil
				}).With(durablestreams.LongPoll())
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				r, err := s.OpenReader(ctx, backend.Earliest)
				for err == nil {
					_, err = r.Read(ctx)
				}
				if !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) || ctx.Err() != nil {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// A connection may be slow, and a large response may take any time.
func TestSlowResponseIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			resp := reply(r, "application/json", "", false)
			pieces := []string{"["}
			for range 100 {
				pieces = append(pieces, "1,", "2,")
			}
			resp.Body = &drip{pieces: append(pieces, "3]"), pause: time.Minute}
			return resp, nil
		})
		r, err := s.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n := 0
		for caughtUp := false; !caughtUp; {
			b, err := r.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n += len(b.Records)
			caughtUp = b.CaughtUp
		}
		if n != 201 {
			t.Errorf("%d records of 201", n)
		}
	})
}
