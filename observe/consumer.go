package observe

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/consumer"
)

// A Consumer holds the numbers of all consumers with one name.
type Consumer struct {
	Name string
	Live int // loops that run

	Read, Done       uint64 // records
	ReadBytes        uint64 // as they count against BufferBytes
	Poison           uint64 // records that could not be decoded
	DeadLetters      uint64 // records that are durable in the dead letters
	Opened, Lost     uint64 // readers
	Saved, SaveFails uint64 // attempts to save a checkpoint
	BufferedBytes    int
	Lag              time.Duration // age of the oldest record that was read and is not done, of all loops
	CaughtUp         bool          // every loop has reached the tail; false without a loop
	LastError        Failure       // of a lost reader, a poison record or a failed save; the zero value when there was no error
}

// consumerMeter counts for all consumers with one name.
type consumerMeter struct {
	name                              string
	read, bytes, poison, opened, lost atomic.Uint64
	saved, saveFails                  atomic.Uint64
	failure                           failure

	mu            sync.Mutex
	live          map[*loop]struct{}
	done, letters uint64 // of loops that have ended
}

// A loop is a live loop of a consumer. The Stats of a consumer count over all its loops. So we keep the Stats at the beginning of
// the loop; otherwise a second loop would count the records of the first loop again.
type loop struct {
	stats func() consumer.Stats
	begin consumer.Stats
}

// progress returns how many records the loop has finished, and how many of them as dead letters.
func (l *loop) progress() (now consumer.Stats, done, letters uint64) {
	now = l.stats()
	return now, now.Done - l.begin.Done, now.DeadLetters - l.begin.DeadLetters
}

// Consumer returns an option for [consumer.New]. The option counts under the given name.
func (r *Registry) Consumer(name string) consumer.Option {
	m := meter(r, r.consumers, name, func() *consumerMeter {
		return &consumerMeter{name: name, live: make(map[*loop]struct{})}
	})
	return consumer.Observe(m.hooks())
}

func (m *consumerMeter) hooks() consumer.Hooks {
	return consumer.Hooks{
		LoopStarted: m.started,
		BatchRead: func(e consumer.ReadEvent) {
			m.read.Add(uint64(e.Records))
			m.bytes.Add(uint64(e.Bytes))
		},
		ReaderOpened:   func(consumer.ReaderEvent) { m.opened.Add(1) },
		ReaderReopened: func(consumer.ReaderEvent) { m.opened.Add(1) },
		ReaderLost: func(e consumer.ReaderEvent) {
			m.lost.Add(1)
			m.failure.note(e.Err)
		},
		Poison: func(e consumer.PoisonEvent) {
			m.poison.Add(1)
			m.failure.note(e.Err)
		},
		CheckpointSaved: func(consumer.SaveEvent) { m.saved.Add(1) },
		CheckpointFailed: func(e consumer.SaveEvent) {
			m.saveFails.Add(1)
			m.failure.note(e.Err)
		},
	}
}

func (m *consumerMeter) started(stats func() consumer.Stats) (ended func()) {
	self := &loop{stats, stats()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[self] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.live, self)
		_, done, letters := self.progress()
		m.done += done
		m.letters += letters
	}
}

func (m *consumerMeter) snapshot() Consumer {
	s := Consumer{
		Name: m.name, Read: m.read.Load(), ReadBytes: m.bytes.Load(), Poison: m.poison.Load(), Opened: m.opened.Load(),
		Lost: m.lost.Load(), Saved: m.saved.Load(), SaveFails: m.saveFails.Load(), LastError: m.failure.get(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Live, s.Done, s.DeadLetters, s.CaughtUp = len(m.live), m.done, m.letters, len(m.live) > 0
	for l := range m.live {
		now, done, letters := l.progress()
		s.Done += done
		s.DeadLetters += letters
		s.BufferedBytes += now.BufferedBytes
		s.Lag = max(s.Lag, now.Lag.Age)
		s.CaughtUp = s.CaughtUp && now.CaughtUp
	}
	return s
}
