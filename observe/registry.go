package observe

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A Registry knows the producers, consumers, handlers and groups with its options, and the servers from [Registry.Server]. All
// methods may be called at the same time.
type Registry struct {
	mu        sync.Mutex
	producers map[string]*producerMeter
	consumers map[string]*consumerMeter
	handlers  map[string]*handlerMeter
	groups    map[string]*groupMeter
	servers   map[string]*serverMeter
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	return &Registry{
		producers: make(map[string]*producerMeter), consumers: make(map[string]*consumerMeter), handlers: make(map[string]*handlerMeter),
		groups: make(map[string]*groupMeter), servers: make(map[string]*serverMeter),
	}
}

// A Snapshot holds the numbers of a Registry, sorted by name.
type Snapshot struct {
	Time      time.Time
	Producers []Producer
	Consumers []Consumer
	Handlers  []Handled
	Groups    []Group
	Servers   []Server
}

// Snapshot reads all numbers, one after the other and without stopping the producers. So two numbers of one Snapshot may differ by
// a batch counted in between.
func (r *Registry) Snapshot() Snapshot {
	r.mu.Lock()
	producers, consumers, handlers, groups := sorted(r.producers), sorted(r.consumers), sorted(r.handlers), sorted(r.groups)
	servers := sorted(r.servers)
	r.mu.Unlock()
	s := Snapshot{Time: time.Now()}
	for _, m := range producers {
		s.Producers = append(s.Producers, m.snapshot())
	}
	for _, m := range consumers {
		s.Consumers = append(s.Consumers, m.snapshot())
	}
	for _, m := range handlers {
		s.Handlers = append(s.Handlers, m.snapshot())
	}
	for _, m := range groups {
		s.Groups = append(s.Groups, m.snapshot())
	}
	for _, m := range servers {
		s.Servers = append(s.Servers, m.snapshot())
	}
	return s
}

func sorted[M any](meters map[string]M) []M {
	var all []M
	for _, name := range slices.Sorted(maps.Keys(meters)) {
		all = append(all, meters[name])
	}
	return all
}

// meter returns the meter of a name, and makes a missing meter.
func meter[M any](r *Registry, meters map[string]M, name string, build func() M) M {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := meters[name]
	if !ok {
		m = build()
		meters[name] = m
	}
	return m
}

// A Failure is an error and the time when it happened.
type Failure struct {
	Time time.Time
	Err  error
}

// failure keeps the last error.
type failure struct {
	mu   sync.Mutex
	last Failure
}

func (f *failure) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = Failure{time.Now(), err}
}

func (f *failure) get() Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}
