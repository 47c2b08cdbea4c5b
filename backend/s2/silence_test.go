package s2_test

import (
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// Silence is that of the network: a reader whose caller pauses for longer loses nothing, not even its session.
func TestASlowConsumerIsNoSilence(t *testing.T) {
	t.Parallel()
	const silence = 4 * time.Second // a busy machine may say nothing for a second or two
	for form, opt := range map[string]s2.StreamOption{"frames": s2.InFlight(1), "events": s2.SSE()} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(20*time.Millisecond, 30*time.Millisecond))
			st := dial(t, srv).Basin(basinName).Stream(streamName(), opt, s2.Silence(silence), s2.BareOffsets())
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
					t.Fatalf("behind %d records: %v", got, err)
				}
				if got += len(b.Records); got == 1000 {
					slow := time.NewTimer(silence + silence/4)
					<-slow.C
				}
			}
			_ = r.Close()
			if n := srv.Stats().Requests - sessions; n != 1 {
				t.Errorf("%d requests, want one", n)
			}
		})
	}
}
