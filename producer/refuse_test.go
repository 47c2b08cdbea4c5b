package producer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

func bad(r *backend.Record) bool { return strings.HasPrefix(string(r.Value), "bad") }

// mixed returns n values of which those at the given places are bad.
func mixed(n int, at ...int) (all, good []string) {
	for i := range n {
		if slices.Contains(at, i) {
			all = append(all, fmt.Sprint("bad", i))
			continue
		}
		all = append(all, fmt.Sprint(i))
		good = append(good, fmt.Sprint(i))
	}
	return all, good
}

func TestARefusedRecordIsIsolatedOutOfPipelinedBatches(t *testing.T) {
	refused := fmt.Errorf("%w: no such column", backend.ErrRejected)
	unsure := fmt.Errorf("%w: %w: no such column", backend.ErrRejected, backend.ErrIndeterminate)
	for name, fault := range map[string]backendtest.Fault{
		"named by the store":            backendtest.RefuseNamed(bad, refused),
		"not named":                     backendtest.RefuseUnnamed(bad, refused),
		"too large":                     backendtest.RefuseUnnamed(bad, fmt.Errorf("%w: by a byte", backend.ErrTooLarge)),
		"not even the batch is certain": backendtest.RefuseUnnamed(bad, unsure),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, backendtest.NewFlakySink(s, fault), producer.BatchRecords(8), producer.Linger(time.Second))
				all, good := mixed(50, 0, 13, 14, 31, 49)
				began := time.Now()
				rs := enqueue(t, p, all...)
				for i, r := range rs {
					off, err := wait(t, r)
					if isBad := strings.HasPrefix(all[i], "bad"); isBad != (err != nil) {
						t.Errorf("%s: %v", all[i], err)
					} else if isBad && !errors.Is(err, backend.ErrRejected) && !errors.Is(err, backend.ErrTooLarge) {
						t.Errorf("%s: %v, want the refusal", all[i], err)
					} else if !isBad && off == "" {
						t.Errorf("%s: no offset", all[i])
					}
				}
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("took %v: a refusal costs no backoff", d)
				}
				if got := firsts(values(s)); !slices.Equal(got, good) {
					t.Errorf("first copies stored: %q\nwant %q", got, good)
				}
				if name != "not even the batch is certain" {
					wantLog(t, s, good...) // and each of them once
				}
				err := p.Close()
				if err == nil || !strings.Contains(err.Error(), "5 records") {
					t.Errorf("Close: %v, want the first failure and that there were 5", err)
				}
			})
		})
	}
}

func TestOffsetsOfASplitBatchAreTrue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.RefuseUnnamed(bad, backend.ErrRejected)), producer.BatchRecords(100))
		all, _ := mixed(20, 7)
		rs := enqueue(t, p, all...)
		_ = p.Flush(t.Context())
		where := map[string]backend.Offset{}
		for _, r := range s.Records() {
			where[string(r.Value)] = r.Offset
		}
		for i, r := range rs {
			if off, err := wait(t, r); err == nil && off != where[all[i]] {
				t.Errorf("%s: receipt says %q, the stream %q", all[i], off, where[all[i]])
			}
		}
		closeNow(t, p)
	})
}

func TestARejectedRecordDoesNotStopTheProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.RefuseUnnamed(bad, backend.ErrRejected)))
		if err := p.Send(t.Context(), "a", "bad", "b"); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("Send: %v, want the refusal", err)
		}
		if err := p.Send(t.Context(), "c"); err != nil {
			t.Errorf("the next Send: %v", err)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("Flush: %v, want the failure since the last Flush", err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("the next Flush: %v, want nil: it was told", err)
		}
		closeNow(t, p)
		wantLog(t, s, "a", "b", "c")
	})
}

func everything(*backend.Record) bool { return true }

func TestAnyNumberOfRefusedRecordsLeavesTheOthersAlone(t *testing.T) {
	for name, opt := range map[string]producer.Option{"one batch each": oneEach, "in large batches": producer.BatchRecords(500)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, backendtest.NewFlakySink(s, backendtest.RefuseUnnamed(bad, backend.ErrRejected)), opt)
				all, good := mixed(1000, span(300, 700)...)
				for i, r := range enqueue(t, p, all...) {
					if _, err := wait(t, r); errors.Is(err, backend.ErrRejected) != strings.HasPrefix(all[i], "bad") {
						t.Errorf("%s: %v", all[i], err)
					}
				}
				if err := p.Send(t.Context(), "later"); err != nil {
					t.Errorf("Send after all the refusals: %v", err)
				}
				if err := p.Close(); !errors.Is(err, backend.ErrRejected) {
					t.Errorf("Close: %v, want the first refusal", err)
				}
				wantLog(t, s, append(good, "later")...)
			})
		})
	}
}

func TestRefusedInARowStopsTheProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// The delay holds the first batch until all records are enqueued, because a stopped producer accepts no more.
		sink := backendtest.NewFlakySink(memory.New(), backendtest.RefuseUnnamed(everything, backend.ErrRejected),
			backendtest.Nth(backendtest.OnSend, 1, backendtest.Delay(time.Second)))
		p := open(t, sink, producer.RefusedInARow(10), producer.BatchRecords(8), producer.Linger(time.Second))
		rs := enqueue(t, p, numbered(30)...)
		for i, r := range rs {
			_, err := wait(t, r)
			if err == nil || errors.Is(err, backend.ErrRejected) != (i < 10) {
				t.Errorf("record %d: %v, want ErrRejected for the first 10 alone: nobody refused the others", i, err)
			}
		}
		if _, err := p.Enqueue(t.Context(), "later"); err == nil || errors.Is(err, backend.ErrRejected) {
			t.Errorf("Enqueue later: %v, want an error that is no refusal", err)
		}
		if err := p.Close(); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("Close: %v, want the first refusal", err)
		}
		left := 0
		for range p.Unacked() {
			left++
		}
		if left != 20 {
			t.Errorf("%d records left, want 20", left)
		}
	})
}

func TestRefusedInARowDoesNotCountAcrossAStoredRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.RefuseUnnamed(bad, backend.ErrRejected)), producer.RefusedInARow(4), oneEach)
		all, good := mixed(40, 0, 1, 2, 4, 5, 6, 20, 21, 22)
		enqueue(t, p, all...)
		_ = p.Close()
		wantLog(t, s, good...)
	})
}

func TestRecordsPendingWhenAnOpeningIsRefusedAreNotRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(),
			backendtest.Nth(backendtest.OnSend, 1, backendtest.Fail(nil)),
			backendtest.Nth(backendtest.OnOpen, 2, backendtest.Fail(fmt.Errorf("%w: the schema has changed", backend.ErrRejected))))
		p := open(t, sink)
		_, err := wait(t, enqueue(t, p, "pending")[0])
		if err == nil || errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "the schema has changed") {
			t.Errorf("the pending record: %v, want the cause, and no refusal of the record", err)
		}
		if err := p.Close(); err == nil {
			t.Error("Close: nil")
		}
	})
}

// refusedResend is a sink that stores what its first session is sent, never acknowledges it, and refuses the first batch
// when it is sent again.
func refusedResend() *backendtest.FlakySink {
	return backendtest.NewFlakySink(memory.New(), func(c backendtest.Call) backendtest.Effect {
		switch {
		case c.Op == backendtest.OnAck && c.Session == 1:
			return backendtest.Stall()
		case c.Op == backendtest.OnSend && c.Session > 1 && c.Seq == 0:
			return backendtest.Refuse(backend.ErrRejected)
		}
		return backendtest.Effect{}
	})
}

func TestARefusedResendMayBeStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, refusedResend(), producer.AckTimeout(time.Second))
		_, err := wait(t, enqueue(t, p, "stored")[0])
		if !errors.Is(err, backend.ErrRejected) || !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%v, want ErrRejected and ErrIndeterminate: the session before may have stored the record", err)
		}
		_, err = wait(t, enqueue(t, p, "new")[0])
		if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%v, want ErrRejected alone: the record was sent once", err)
		}
		_ = p.Close()
	})
}

func TestUnackedRemembersALostSessionBeyondARefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, refusedResend(), producer.AckTimeout(time.Second), producer.RefusedInARow(1), oneEach)
		_, _ = wait(t, enqueue(t, p, "refused", "stored")[0])
		if err := p.Close(); err == nil {
			t.Error("Close: nil")
		}
		for r, maybe := range p.Unacked() {
			if !maybe {
				t.Errorf("%s is said not to be stored, but the first session stored it", r.Value)
			}
			return
		}
		t.Error("nothing is left")
	})
}

func TestARefusalAtOpeningIsFatal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(),
			backendtest.Nth(backendtest.OnOpen, 1, backendtest.Fail(fmt.Errorf("%w: %w", backend.ErrRejected, backend.ErrTransient))))
		if _, err := producer.New(t.Context(), sink, text()); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("New: %v", err)
		}
		if n := sink.Calls(backendtest.OnOpen); n != 1 {
			t.Errorf("%d openings", n)
		}
	})
}

func TestAtMostOnceStopsWhenTheRefusedBatchIsUncertain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		unsure := fmt.Errorf("%w: %w", backend.ErrRejected, backend.ErrIndeterminate)
		hold := make(chan struct{})
		sink := backendtest.NewFlakySink(memory.New(), func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnAck {
				<-hold // so that several are unacknowledged when the refusal comes
			}
			return backendtest.Effect{}
		}, backendtest.RefuseUnnamed(bad, unsure))
		p := open(t, sink, oneEach, producer.AtMostOnce())
		enqueue(t, p, "0", "1", "bad")
		<-time.After(time.Second)
		close(hold)
		if err := p.Close(); err == nil {
			t.Error("Close: nil, want a failure")
		}
	})
}

func TestARefusalInSendConcernsItsBatchAlone(t *testing.T) {
	refuseInSend := func(c backendtest.Call) backendtest.Effect {
		if c.Op == backendtest.OnSend && slices.ContainsFunc(c.Records, func(r backend.Record) bool { return bad(&r) }) {
			return backendtest.Fail(fmt.Errorf("%w by Send", backend.ErrRejected))
		}
		return backendtest.Effect{}
	}
	for name, front := range map[string]func(backend.Sink) backend.Sink{
		"the session goes on": func(s backend.Sink) backend.Sink { return choosy{s} },
		"the session ends":    func(s backend.Sink) backend.Sink { return backendtest.NewFlakySink(s, refuseInSend) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, front(s), producer.BatchRecords(8), producer.Linger(time.Second))
				all, good := mixed(50, 0, 13, 14, 31, 49)
				for i, r := range enqueue(t, p, all...) {
					_, err := wait(t, r)
					if isBad := strings.HasPrefix(all[i], "bad"); isBad != errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrIndeterminate) {
						t.Errorf("%s: %v", all[i], err)
					}
				}
				if err := p.Close(); !errors.Is(err, backend.ErrRejected) {
					t.Errorf("Close: %v, want the refusals", err)
				}
				wantLog(t, s, good...)
			})
		})
	}
}
