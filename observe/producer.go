package observe

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
	"github.com/headrace/headrace/producer"
)

// A Producer holds the numbers of all producers with one name.
type Producer struct {
	Name string
	Live int // producers that have not stopped

	Acked, Failed uint64            // records that are durable, and records that were given up
	AckedBytes    uint64            // of durable records, by the store's meter
	Sent          map[string]uint64 // batches sent for the first time, by the reason why each one ended: full, linger, wanted, flush, close
	Resent        uint64            // batches sent again
	Opened, Lost  uint64            // sessions
	Idle          uint64            // sessions that ended because there was nothing to send for IdleTimeout
	Open          int               // sessions that are open
	Buffered      int               // records that were accepted and are not decided
	BufferedBytes int
	InFlight      int       // batches taken by sessions and not acknowledged
	Latency       Histogram // from the first record of a batch to its ack
	LastError     Failure   // of a lost session, a refused record or a stopped producer; the zero value when there was no error
}

// producerMeter counts for all producers with one name.
type producerMeter struct {
	name                 string
	acked, failed, bytes atomic.Uint64
	sent                 [batcher.CauseClose + 1]atomic.Uint64
	resent, opened, lost atomic.Uint64
	idle                 atomic.Uint64
	latency              histogram
	failure              failure

	mu   sync.Mutex
	live map[*instance]struct{}
}

// An instance is one live producer.
type instance struct{ stats func() producer.Stats }

// Producer returns an option for [producer.New]. The option counts under the given name.
func (r *Registry) Producer(name string) producer.Option {
	m := meter(r, r.producers, name, func() *producerMeter {
		return &producerMeter{name: name, live: make(map[*instance]struct{})}
	})
	return producer.Observe(m.hooks())
}

func (m *producerMeter) hooks() producer.Hooks {
	return producer.Hooks{
		Started: func(stats func() producer.Stats) func(error) {
			self := &instance{stats}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.live[self] = struct{}{}
			return func(err error) { m.stopped(self, err) }
		},
		BatchSent:   func(e producer.BatchEvent) { m.sent[min(int(e.Cause), len(m.sent)-1)].Add(1) },
		BatchResent: func(producer.BatchEvent) { m.resent.Add(1) },
		BatchAcked: func(e producer.BatchEvent) {
			m.acked.Add(uint64(e.Records))
			m.bytes.Add(uint64(e.Bytes))
			m.latency.observe(e.Elapsed)
		},
		BatchFailed: func(e producer.BatchEvent) {
			m.failed.Add(uint64(e.Records))
			m.failure.note(e.Err)
		},
		SessionOpened: func(producer.SessionEvent) { m.opened.Add(1) },
		SessionLost: func(e producer.SessionEvent) {
			m.lost.Add(1)
			m.failure.note(e.Err)
		},
		SessionIdle: func(producer.SessionEvent) { m.idle.Add(1) },
	}
}

func (m *producerMeter) stopped(self *instance, err error) {
	if !onlyClosed(err) {
		m.failure.note(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, self)
}

// onlyClosed reports whether a producer stopped because its owner closed the producer. Without onlyClosed, the page would show
// every ordinary end as an error.
func onlyClosed(err error) bool {
	return errors.Unwrap(err) == backend.ErrClosed
}

func (m *producerMeter) snapshot() Producer {
	s := Producer{
		Name: m.name, Acked: m.acked.Load(), Failed: m.failed.Load(), AckedBytes: m.bytes.Load(), Sent: make(map[string]uint64),
		Resent: m.resent.Load(), Opened: m.opened.Load(), Lost: m.lost.Load(), Idle: m.idle.Load(),
		Latency: m.latency.snapshot(), LastError: m.failure.get(),
	}
	for c := batcher.CauseFull; c <= batcher.CauseClose; c++ {
		s.Sent[c.String()] = m.sent[c].Load()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Live = len(m.live)
	for i := range m.live {
		now := i.stats()
		s.Buffered += now.Buffered
		s.BufferedBytes += now.BufferedBytes
		s.InFlight += now.InFlight
		if now.Open {
			s.Open++
		}
	}
	return s
}
