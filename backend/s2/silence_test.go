package s2_test

import (
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// Silence is that of the network: a reader that is not read from for longer loses nothing, not even its session.
func TestASlowConsumerIsNoSilence(t *testing.T) {
	t.Parallel()
	for form, opt := range map[string]s2.StreamOption{"frames": s2.InFlight(1), "events": s2.EventStream()} {
		srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(20*time.Millisecond, 30*time.Millisecond))
		st := dial(t, srv).Basin(basinName).Stream(streamName(), opt, s2.Silence(5*time.Second), s2.BareOffsets())
		timed(t, st, 3000)
		sessions := srv.Stats().Requests
		r, err := st.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for got < 3000 {
			b, err := r.Read(t.Context())
			if err != nil {
				t.Fatalf("%s: behind %d records: %v", form, got, err)
			}
			if got += len(b.Records); got == 1000 {
				slow := time.NewTimer(6 * time.Second)
				<-slow.C
			}
		}
		_ = r.Close()
		if n := srv.Stats().Requests - sessions; n != 1 {
			t.Errorf("%s: %d requests, want one", form, n)
		}
	}
}
