package s2_test

import (
	"os"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// rulesUnderFaults runs all rules of backendtest, each rule under each kind of fault. A steadfast stream tries again like
// producers and consumers, and appends are exclusive. Otherwise a rule could not tell lost records, or records stored twice,
// from the normal effects of a fault.
//
// Stalled acks are left out. A session waits for an ack for ever, and only the AckTimeout of a producer ends the wait.
func rulesUnderFaults(t *testing.T) {
	t.Parallel()
	const sessions = s2test.AppendSession | s2test.ReadSession
	each := func(op s2test.Op, stage s2test.Stage, skip int, effects ...s2test.Effect) (faults []s2test.Fault) {
		for _, do := range effects {
			faults = append(faults, s2test.Fault{Op: op, Stage: stage, Skip: skip, Do: do})
		}
		return faults
	}
	const stalled = "reads stalled"
	var refusals []s2test.Effect
	for _, s := range statuses {
		refusals = append(refusals, s2test.Status(s.status, s.code))
	}
	var all crowd
	for _, kind := range []struct {
		name   string
		faults []s2test.Fault
	}{
		// Nearly every rule waits for the silence of a stalled read. This kind takes the longest, so it begins first.
		{stalled, each(s2test.ReadSession, s2test.Replying, 0, s2test.Stall())},
		{"openings refused", each(sessions|s2test.CheckTail|s2test.UnaryAppend, s2test.Arrived, 0, refusals...)},
		{"openings dropped", each(sessions|s2test.CheckTail|s2test.UnaryAppend, s2test.Arrived, 0, s2test.Drop(), s2test.Reset(), s2test.Drop())},
		{"claims stored and lost", each(s2test.UnaryAppend, s2test.Replying, 0, s2test.Drop(), s2test.Drop())},
		{"looks at the tail lost", each(s2test.CheckTail|s2test.UnaryRead, s2test.Replying, 0, s2test.Drop(), s2test.Status(500, "other"))},
		{"batches refused", each(s2test.AppendSession, s2test.Received, 0, refusals...)},
		{"batches lost", each(s2test.AppendSession, s2test.Received, 1, s2test.Drop(), s2test.Reset(), s2test.End())},
		{"acks lost", each(s2test.AppendSession, s2test.Replying, 0, s2test.Drop(), s2test.Reset(), s2test.End(), s2test.Status(500, "storage"))},
		{"acks damaged", each(s2test.AppendSession, s2test.Replying, 1, s2test.Frame([]byte{0, 0, 0, 0}), s2test.Frame([]byte{0, 0, 5, 0, 0x12, 0x02, 0x08, 0x7f}), s2test.CutAfter(5))},
		{"reads ended", each(s2test.ReadSession, s2test.Replying, 0, append(refusals, s2test.Drop(), s2test.Reset(), s2test.End())...)},
		{"reads cut off", each(s2test.ReadSession, s2test.Replying, 1, s2test.CutAfter(10), s2test.CutAfter(100), s2test.CutAfter(1000))},
		{"late answers", each(sessions, s2test.Replying, 0, s2test.Delay(10*time.Millisecond), s2test.Delay(10*time.Millisecond))},
		{"servers that are going", each(sessions, s2test.Replying, 0, s2test.GoAway(), s2test.AdviseReconnect(), s2test.GoAway(), s2test.AdviseReconnect())},
	} {
		for _, store := range []string{"memory", "bolt"} {
			all.run(t, kind.name+"/"+store, func(t *testing.T) {
				if store == "bolt" && os.Getenv("HEADRACE_LONG") == "" {
					t.Skip("every rule waits for the disk many times: set HEADRACE_LONG=1 to run them over bolt too")
				}
				var struck, streams int64
				inject := func(t testing.TB, srv *s2test.Server) {
					for _, f := range kind.faults {
						srv.Inject(f)
					}
					streams++
					t.Cleanup(func() { struck += srv.Stats().Faults })
				}
				opts := []s2.StreamOption{s2.Exclusive(), s2.Fence("")}
				if kind.name == stalled {
					opts = append(opts, s2.Silence(150*time.Millisecond)) // every rule waits for this time at least once
				}
				h := harness(store, inject, nil, opts...)
				h.Dedup, h.Exclusive, h.Beside = true, true, true
				h.Patience = 4 * time.Minute // a call may open many times, and read back all its batches
				fresh := h.Open
				h.Open = func(t testing.TB) backendtest.Target {
					target := fresh(t)
					st, missing := target.Sink.(*s2.Stream), target.MissingSink.(*s2.Stream)
					target.Sink, target.Source = steadfast{st}, steadfast{st}
					target.MissingSink, target.MissingSource = steadfast{missing}, steadfast{missing}
					return target
				}
				backendtest.Run(t, h)
				if struck == 0 {
					t.Error("no fault has struck")
				}
				t.Logf("%d faults struck on %d streams", struck, streams)
			})
		}
	}
	all.Wait()
}
