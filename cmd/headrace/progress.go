package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/headrace/headrace/consumer"
)

// progress tells how far a copy is: as a bar on a terminal, as a line every ten seconds elsewhere.
type progress struct {
	out            io.Writer
	reader         *consumer.Consumer[[]byte]
	bar            *progressbar.ProgressBar // nil without a terminal
	begun          time.Time
	records, bytes atomic.Int64
	stop           context.CancelFunc
	stopped        chan struct{}
}

const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

func startProgress(ctx context.Context, out io.Writer, reader *consumer.Consumer[[]byte]) *progress {
	ctx, stop := context.WithCancel(ctx)
	p := &progress{out: out, reader: reader, begun: time.Now(), stop: stop, stopped: make(chan struct{})}
	every := lineEvery
	if isTerminal(out) {
		every = barEvery
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(),
			progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"), progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetWidth(30), progressbar.OptionFullWidth())
	}
	go p.run(ctx, every)
	return p
}

// add counts a record that was handed to the producer.
func (p *progress) add(size int) {
	p.records.Add(1)
	p.bytes.Add(int64(size))
}

func (p *progress) run(ctx context.Context, every time.Duration) {
	defer close(p.stopped)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show()
		case <-ctx.Done():
			return
		}
	}
}

func (p *progress) show() {
	done := int64(p.reader.Stats().Done)
	if p.bar == nil {
		fmt.Fprintln(p.out, p.text(done))
		return
	}
	p.bar.Describe(size(p.bytes.Load()))
	_ = p.bar.Set64(done) // a terminal that is gone is no reason to stop
}

func (p *progress) text(done int64) string {
	seconds := time.Since(p.begun).Seconds()
	return fmt.Sprintf("%d records copied, %s read, %.0f records/s", done, size(p.bytes.Load()), float64(done)/max(seconds, 0.001))
}

// end prints the sum. err is how the copy ended.
func (p *progress) end(err error) {
	p.stop()
	<-p.stopped
	if p.bar != nil {
		_ = p.bar.Finish()
		fmt.Fprintln(p.out)
	}
	outcome := "complete up to the tail"
	if err != nil {
		outcome = "not complete; the same command goes on from here"
	}
	fmt.Fprintf(p.out, "headrace: %s in %.1f s, %s\n", p.text(int64(p.reader.Stats().Done)), time.Since(p.begun).Seconds(), outcome)
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
