package server

import "time"

// A pulse says when a session read that waits at the tail sends a heartbeat, and when it has waited long enough.
type pulse struct {
	cfg  *Config
	wait *uint64 // seconds without new records after which the read ends; nil is never

	following bool      // the read has reached the tail once
	quiet     time.Time // since when there was nothing new
	nextBeat  time.Time
	timer     *time.Timer // made at the first wait
}

// shown returns the tail as a batch names it: nil before the read has reached the tail.
func (p *pulse) shown(tail *position) *position {
	if p.following {
		return tail
	}
	return nil
}

func (p *pulse) sentRecords(now time.Time) {
	p.quiet = now
	p.sentBeat(now)
}

// sentBeat makes the next heartbeat due after a random time. Many sessions that begin at once would otherwise beat at once.
func (p *pulse) sentBeat(now time.Time) { p.nextBeat = now.Add(p.cfg.nextHeartbeat()) }

// beatDue reports whether a heartbeat is due at the tail. The first one is due at once: it tells the client that it has caught
// up.
func (p *pulse) beatDue(now time.Time) bool {
	if p.quiet.IsZero() {
		p.quiet = now
	}
	first := !p.following
	p.following = true
	return first || !now.Before(p.nextBeat)
}

// next returns a channel that fires when there is something to do. over is whether the read has waited long enough.
func (p *pulse) next(now time.Time) (c <-chan time.Time, over bool) {
	until := p.nextBeat
	if p.wait != nil {
		end := p.quiet.Add(seconds(*p.wait))
		if !now.Before(end) {
			return nil, true
		}
		if end.Before(until) {
			until = end
		}
	}
	if p.timer == nil {
		p.timer = time.NewTimer(until.Sub(now))
	} else {
		p.timer.Reset(until.Sub(now))
	}
	return p.timer.C, false
}

func (p *pulse) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
