package durablestreams_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestGivenEpochIsSentAndNeverRaised(t *testing.T) {
	var epochs []string
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPost {
			epochs = append(epochs, r.Header.Get("Producer-Epoch"))
		}
		return false
	})
	in := func(epoch int64) backend.Session {
		return open(t, s.With(durablestreams.ProducerID("p"), durablestreams.Epoch(epoch)).NewAppender(jsonFormat))
	}
	first := in(0)
	send(t, first, 0)
	recv(t, first, 0)
	second := in(7000)
	send(t, second, 0)
	recv(t, second, 0)
	send(t, first, 1)
	wantError(t, first, backend.ErrFenced)
	for _, taken := range []int64{7000, 6999} {
		late := in(taken)
		send(t, late, 0)
		wantError(t, late, backend.ErrFenced)
	}
	if got := len(epochs); got != 5 {
		t.Errorf("%d appends in the epochs %v, want one each", got, epochs)
	}
	wantStored(t, s, "0 0")
}

func TestEpochWithoutAProducerIsRefused(t *testing.T) {
	s := jsonStream(t, nil)
	if _, err := s.With(durablestreams.Epoch(1)).NewAppender(jsonFormat).Open(t.Context()); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("%v, want ErrRejected", err)
	}
}
