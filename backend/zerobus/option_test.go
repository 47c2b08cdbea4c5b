package zerobus

import (
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// The defaults are the vendor's where the option is here; those of the producer are in options_test.go.
func TestDefaultsByValue(t *testing.T) {
	for name, c := range map[string]config{
		"none":              Table("a.b.c", Config{}).cfg,
		"given as they are": Table("a.b.c", Config{}, AttemptTimeout(15*time.Second), InFlight(1_000_000), RefreshBuffer(300*time.Second), ConnectionPerStream(true)).cfg,
	} {
		if c.attemptTimeout != 15*time.Second || c.inFlight != 1_000_000 || c.pauseLimit != nil ||
			c.refreshBuffer != 300*time.Second || !c.connectionPerStream || c.application != "" || c.tls != nil || c.http != nil ||
			c.headers != nil || c.dial != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if l := Table("a.b.c", Config{}).NewAppender(backend.Format{ContentType: "application/json"}).Limits(); l.RecordBytes != 10_420_224 || l.BatchBytes != 10_420_224 || l.InFlight != 1_000_000 {
		t.Errorf("%+v", l)
	}
}

// A zero and a false are values: none of them falls back to the default, alone or with others, and less than zero is zero.
func TestExplicitZeroAndFalseAreHonoured(t *testing.T) {
	for _, n := range []int{0, -1} {
		d := time.Duration(n) * time.Second
		for name, check := range map[string]struct {
			opt Option
			ok  func(c config) bool
		}{
			"AttemptTimeout":      {AttemptTimeout(d), func(c config) bool { return c.attemptTimeout <= 0 }},
			"PauseLimit":          {PauseLimit(d), func(c config) bool { return c.pauseLimit != nil && *c.pauseLimit == 0 }},
			"InFlight":            {InFlight(n), func(c config) bool { return c.inFlight == 0 }},
			"RefreshBuffer":       {RefreshBuffer(d), func(c config) bool { return c.refreshBuffer == 0 }},
			"ConnectionPerStream": {ConnectionPerStream(false), func(c config) bool { return !c.connectionPerStream }},
		} {
			if c := Table("a.b.c", Config{}, check.opt).cfg; !check.ok(c) {
				t.Errorf("%s(%d): %+v", name, n, c)
			}
			if c := New(Config{}, check.opt).Table("a.b.c", Application("x")).cfg; !check.ok(c) {
				t.Errorf("%s(%d) of the client: %+v", name, n, c)
			}
		}
	}
}

// A Sink's options go behind its Client's, and change no other Sink.
func TestOptionsOfASinkGoBehindThoseOfItsClient(t *testing.T) {
	c := New(Config{}, InFlight(3))
	if one, other := c.Table("a.b.c", InFlight(7)).cfg, c.Table("a.b.c").cfg; one.inFlight != 7 || other.inFlight != 3 {
		t.Errorf("%+v, %+v", one, other)
	}
}
