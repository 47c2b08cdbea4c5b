package durablestreams_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// fence gives the place of every producer on the server to a later one.
func (s *strict) fence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.producers {
		p.epoch, p.last = p.epoch+1, 0
	}
}

// A batch that the server refuses as stale the first time it sees it was not stored, also where one behind it was sent
// earlier, as several at once are. A producer would try again what may be stored, without end.
func TestFencedBatchThatWasOvertakenIsNotStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{server: newStrict(true)}
		session := open(t, n.client(t).Stream("s", durablestreams.ProducerID("id")).NewAppender(jsonFormat))
		send(t, session, 0)
		recv(t, session, 0)
		n.server.fence()
		send(t, session, 1, 2, 3, 4, 5)
		wantError(t, session, backend.ErrFenced)
		n.server.wantOnce(t, 1, 0)
	})
}

// Nor was one that had come too early before.
func TestFencedBatchThatCameTooEarlyIsNotStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{server: newStrict(true)}
		n.fault = func(no int, r *http.Request) (func() (*http.Response, error), bool) {
			seq := r.Header.Get("Producer-Seq")
			return func() (*http.Response, error) {
				if seq == "1" {
					if err := travel(r, time.Second); err != nil { // batch 2 comes meanwhile
						return nil, err
					}
				}
				resp, err := n.carry(no, r)
				if seq == "1" {
					n.server.fence()
				}
				return resp, err
			}, seq == "1"
		}
		session := open(t, n.client(t).Stream("s", durablestreams.ProducerID("id")).NewAppender(jsonFormat))
		send(t, session, 0)
		recv(t, session, 0)
		send(t, session, 1, 2)
		recv(t, session, 1)
		wantError(t, session, backend.ErrFenced)
		if n.server.gaps != 1 {
			t.Errorf("%d batches came too early, want 1", n.server.gaps)
		}
		n.server.wantOnce(t, 2, 1)
	})
}

// A batch for which there was no token was not sent, so an epoch that turns out to be taken is given up for a later one.
func TestEpochIsClaimedAfterATokenThatDidNotCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{server: newStrict(true)}
		var asked atomic.Int64
		c := n.client(t, durablestreams.Header("Authorization", func(context.Context) (string, error) {
			if asked.Add(1) == 2 { // the first is for the opening
				return "", errors.Join(backend.ErrTransient, errNetwork)
			}
			return "token", nil
		}))
		n.server.producers["/v1/stream/s\nid"] = &writer{epoch: 1 << 50, last: 7}
		a := c.Stream("s", durablestreams.ProducerID("id")).NewAppender(jsonFormat)
		lost := replay(t, a, 3)
		if len(lost) != 1 || !errors.Is(lost[0], errNetwork) || errors.Is(lost[0], backend.ErrIndeterminate) {
			t.Errorf("lost sessions: %v, want one for the token", lost)
		}
		n.server.wantOnce(t, 3, 2)
	})
}
