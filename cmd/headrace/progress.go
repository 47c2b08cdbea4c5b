package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/headrace/headrace/backend"
)

// progress tells how far a copy is: a bar on a terminal, elsewhere a line every ten seconds. A log file would fill up with the
// drawings of a bar.
type progress struct {
	out            io.Writer
	source         backend.Source
	promise        string                   // what a copy to this target guarantees, for the last line
	bar            *progressbar.ProgressBar // nil without a terminal
	begun          time.Time
	records, bytes atomic.Int64
	first          atomic.Pointer[backend.Offset] // of the first record; nil before. The records to copy are counted from here
	total          int64                          // records to copy; -1 while it is not known
	stop           context.CancelFunc
	stopped        chan struct{}
}

const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

func startProgress(ctx context.Context, out io.Writer, source backend.Source, promise string) *progress {
	ctx, stop := context.WithCancel(ctx)
	p := &progress{out: out, source: source, promise: promise, begun: time.Now(), total: -1, stop: stop, stopped: make(chan struct{})}
	every := lineEvery
	if isTerminal(out) {
		every = barEvery
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(),
			progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"), progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetWidth(30))
	}
	go p.run(ctx, every)
	return p
}

// add counts a record that was read.
func (p *progress) add(r *backend.Record) {
	if p.first.Load() == nil {
		at := r.Offset
		p.first.Store(&at)
	}
	p.records.Add(1)
	p.bytes.Add(int64(len(r.Value)))
}

func (p *progress) run(ctx context.Context, every time.Duration) {
	defer close(p.stopped)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (p *progress) show(ctx context.Context) {
	if first := p.first.Load(); first != nil && p.total < 0 {
		// If the store cannot count, the copy still works, and the bar has no end.
		if lag, err := backend.LagAt(ctx, p.source, *first); err == nil && lag.Records > 0 {
			p.total = lag.Records
			if p.bar != nil {
				p.bar.ChangeMax64(p.total)
			}
		}
	}
	if p.bar == nil {
		fmt.Fprintln(p.out, p.text())
		return
	}
	p.bar.Describe(size(p.bytes.Load()))
	_ = p.bar.Set64(p.records.Load()) // if the terminal is gone, the copy goes on
}

func (p *progress) text() string {
	seconds, n := time.Since(p.begun).Seconds(), p.records.Load()
	rate := float64(n) / max(seconds, 0.001)
	of := ""
	if p.total > 0 {
		left := time.Duration(float64(max(p.total-n, 0)) / max(rate, 1) * float64(time.Second))
		of = fmt.Sprintf(" of %d, %s left", p.total, left.Round(time.Second))
	}
	return fmt.Sprintf("%d records%s, %s, %.0f records/s", n, of, size(p.bytes.Load()), rate)
}

// end prints the sum. err says how the copy ended. The last line tells of loss and repetition, because a script reads only the exit
// status and the last line.
func (p *progress) end(err error) {
	p.stop()
	<-p.stopped
	if p.bar != nil {
		_ = p.bar.Set64(p.records.Load())
		fmt.Fprintln(p.out)
	}
	p.total = -1
	outcome := "complete up to the tail, " + p.promise
	if err != nil {
		outcome = "not complete; the same command goes on from here, " + p.promise
	}
	fmt.Fprintf(p.out, "headrace: copied %s in %.1f s: %s\n", p.text(), time.Since(p.begun).Seconds(), outcome)
}

// size formats a number of bytes.
func size(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}
