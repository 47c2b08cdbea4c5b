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

// progress tells how far a copy is: a bar on a terminal, elsewhere a line every ten seconds. A log file would fill up
// with the drawings of a bar. It only watches: nothing of a copy waits for the progress, and nothing fails with it. The
// counters are atomic, because the copy counts in its own goroutine; total, bar and begun belong to the goroutine run,
// and to end behind it.
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

// A bar may move often. Lines go to logs, where a line each second would be too much, and no line for a minute looks
// like a process that hangs.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

// startProgress begins to show; end must be called, or its goroutine stays.
func startProgress(ctx context.Context, out io.Writer, source backend.Source, promise string) *progress {
	ctx, stop := context.WithCancel(ctx)
	p := &progress{out: out, source: source, promise: promise, begun: time.Now(), total: -1, stop: stop, stopped: make(chan struct{})}
	// Without a terminal, for example under cron, the lines go to a log.
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

// add counts a record that was read. Records are counted when they are read and not when they are durable, so the last
// number may be a window ahead.
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
		// Asked until the store has answered once. A stream that grows meanwhile makes the bar end above its total, and
		// a total that grows as fast as the stream would be worse.
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
		// The rate is that of the whole copy. The rate of the last second would make the time left jump about.
		left := time.Duration(float64(max(p.total-n, 0)) / max(rate, 1) * float64(time.Second))
		of = fmt.Sprintf(" of %d, %s left", p.total, left.Round(time.Second))
	}
	return fmt.Sprintf("%d records%s, %s, %.0f records/s", n, of, size(p.bytes.Load()), rate)
}

// end prints the sum. err says how the copy ended. The last line tells of loss and repetition, because a script reads
// only the exit status and the last line.
func (p *progress) end(err error) {
	p.stop()
	<-p.stopped
	if p.bar != nil {
		_ = p.bar.Set64(p.records.Load())
		fmt.Fprintln(p.out)
	}
	// The last line names what was copied, and no rest.
	p.total = -1
	did, outcome := "copied", "complete up to the tail, "
	if err != nil {
		// Records were counted when they were read. After a failure, the target may have none of the last ones.
		did, outcome = "read", "not complete; the same command goes on behind the last record that the target has, "
	}
	fmt.Fprintf(p.out, "headrace: %s %s in %.1f s: %s\n", did, p.text(), time.Since(p.begun).Seconds(), outcome+p.promise)
}

// size formats a number of bytes. The units are decimal, as disks and networks are sold.
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
