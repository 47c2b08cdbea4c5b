package group

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/producer"
)

func TestWrongSettingsAreRefused(t *testing.T) {
	open := func(string) backend.Source { return nil }
	list := func(context.Context) ([]string, error) { return nil, nil }
	for _, c := range []struct {
		name    string
		leases  lease.Store
		group   string
		streams Streams
		opts    []Option
		want    string
	}{
		{"no leases", nil, "g", Fixed(open, "s"), nil, "nil"},
		{"no name", lease.NewMemory(), "", Fixed(open, "s"), nil, "name of the group is empty"},
		{"slash", lease.NewMemory(), "a/b", Fixed(open, "s"), nil, "slash"},
		{"no streams", lease.NewMemory(), "g", Fixed(open), nil, "no streams"},
		{"empty stream", lease.NewMemory(), "g", Fixed(open, ""), nil, "name of a stream is empty"},
		{"nothing opens", lease.NewMemory(), "g", Fixed(nil, "s"), nil, "opens"},
		{"zero Streams", lease.NewMemory(), "g", Streams{}, nil, "opens"},
		{"discover too often", lease.NewMemory(), "g", Discover(open, list, 0), nil, "Discover every"},
		{"short lease", lease.NewMemory(), "g", Fixed(open, "s"), []Option{LeaseTime(time.Millisecond)}, "LeaseTime"},
		{"no drain", lease.NewMemory(), "g", Fixed(open, "s"), []Option{DrainTimeout(0)}, "DrainTimeout"},
		{"long drain", lease.NewMemory(), "g", Fixed(open, "s"), []Option{DrainTimeout(10 * time.Second)}, "4 times"},
		{"endless drain", lease.NewMemory(), "g", Fixed(open, "s"), []Option{DrainTimeout(math.MaxInt64)}, "4 times"},
		{"long name", lease.NewMemory(), "g", Fixed(open, "s"), []Option{Member(strings.Repeat("m", 250))}, "Member"},
		{"nil option", lease.NewMemory(), "g", Fixed(open, "s"), []Option{nil}, "option is nil"},
		{"no logger", lease.NewMemory(), "g", Fixed(open, "s"), []Option{Logger(nil)}, "Logger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.leases, c.group, c.streams, codec.JSON[int](), c.opts...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	g, err := New(lease.NewMemory(), "g", Fixed(open, "s"), codec.JSON[int]())
	if err != nil || g.Each(t.Context(), nil) == nil || g.Process(t.Context(), nil) == nil {
		t.Errorf("%v; a nil function must be refused", err)
	}
}

func TestConsumersLogToTheLastLogger(t *testing.T) {
	stream := memory.New()
	p, err := producer.New(t.Context(), stream, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), "no number"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var first, last, own bytes.Buffer
	to := func(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
	skips := Consumer(consumer.OnPoison(consumer.Skip), consumer.StopAtTail())
	for _, c := range []struct {
		name string
		opts []Option
		want *bytes.Buffer
	}{
		{"two loggers", []Option{Logger(to(&first)), Logger(to(&last)), skips}, &last},
		{"a logger for the consumers", []Option{Consumer(consumer.Logger(to(&own))), Logger(to(&first)), skips}, &own},
	} {
		g, err := New(lease.NewMemory(), "g", Fixed(func(string) backend.Source { return stream }, "s"), codec.JSON[int](), c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		of, err := g.consumer("s", checkpoint.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range of.Messages(t.Context()) {
			t.Errorf("%s: %v, want no message and no error", c.name, err)
		}
		if !strings.Contains(c.want.String(), "skipped a record") || first.Len() > 0 {
			t.Errorf("%s: the logger has %q, the replaced logger has %q", c.name, c.want.String(), first.String())
		}
	}
}
