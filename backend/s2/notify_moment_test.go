package s2_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// Records come at every moment around the change from a session to the wait without one, and connections break in between. Each
// record is read once and in its order.
func TestNoRecordIsLostAtTheMomentOfFallingAsleep(t *testing.T) {
	t.Parallel()
	for _, breaks := range []bool{false, true} {
		t.Run(fmt.Sprintf("connections break %v", breaks), func(t *testing.T) {
			t.Parallel()
			const records = 200
			srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(time.Millisecond, 2*time.Millisecond))
			c := dial(t, srv, s2.ShortSleep(0))
			st := c.Basin(basinName).Stream(streamName())
			writes := make(chan int, records)
			written := make(chan struct{})
			go func() {
				defer close(written)
				appendEach(t, st, writes)
			}()
			// Each fourth record leaves when the reader sleeps, however long that takes. The others leave after some heartbeats. At most
			// one break comes between two records: after several attempts in a row that fail, a client waits for a minute until it
			// makes another connection for readers that sleep.
			put, heartbeats, broken := 0, 0, false
			write := func() {
				if put < records {
					writes <- put
					put++
				}
				heartbeats, broken = rand.IntN(6), false
			}
			read, slept, at := 0, 0, backend.Earliest
			write()
			for read < records {
				s, err := openSleeper(t.Context(), st, at)
				if err != nil {
					want(t, err, backend.ErrTransient)
					continue
				}
				for read < records {
					b, err := s.Read(t.Context())
					if err != nil {
						want(t, err, backend.ErrTransient)
						break
					}
					for _, rec := range b.Records {
						if string(rec.Value) != strconv.Itoa(read) {
							t.Fatalf("read %q, want %d", rec.Value, read)
						}
						read++
					}
					at = b.Next
					if !b.CaughtUp {
						continue
					}
					if heartbeats--; heartbeats < 0 && put%4 != 0 {
						write()
					}
					if breaks && !broken && rand.IntN(20) == 0 {
						broken = true
						srv.DropConnections()
					}
					if s.waits(t) {
						slept++
						if read == put {
							write()
						}
						<-s.woken
					}
				}
				check(t, s.Close())
			}
			close(writes)
			<-written
			if slept < records/4-1 {
				t.Errorf("the reader has slept %d times only", slept)
			}
		})
	}
}

// appendEach appends each number as a record at its own position, until writes is closed. A lost answer is no failure: the next attempt
// finds the record at its position.
func appendEach(t *testing.T, st *s2.Stream, writes <-chan int) {
	for i := range writes {
		for {
			_, err := st.Append(t.Context(), values(strconv.Itoa(i)), s2.Condition{SeqNum: ptr(uint64(i))})
			if err == nil || errors.Is(err, backend.ErrConflict) {
				break
			}
			if !errors.Is(err, backend.ErrTransient) && !errors.Is(err, backend.ErrIndeterminate) {
				t.Error(err)
				return
			}
		}
	}
}
