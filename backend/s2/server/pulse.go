package server

import "time"

// A pulse decides when a read session that waits at the tail sends a heartbeat, and when the session has waited long
// enough.
type pulse struct {
	cfg  *Config
	wait *uint64 // the read ends after so many seconds without new records; nil: never

	reachedTail bool      // the read has been at the tail
	quietSince  time.Time // since when there was nothing new
	nextBeat    time.Time
	timer       *time.Timer // made by the first wait
}

// shown returns the tail that a batch names: nil before the read has reached the tail.
//
// Clients take the first tail that they see for the sign that they have caught up. A tail in a batch before the tail
// would end the read of a client that wants only the records up to now.
func (p *pulse) shown(tail *position) *position {
	if p.reachedTail {
		return tail
	}
	return nil
}

// sentRecords notes the time of a batch. A batch shows the client that the session is alive: the next heartbeat is due
// only later, and the wait for new records begins again.
func (p *pulse) sentRecords(now time.Time) {
	p.quietSince = now
	p.sentBeat(now)
}

// sentBeat makes the next heartbeat due after a random time. With a fixed time, many sessions that began together would
// send all their heartbeats together. S2 allows 15 s between two heartbeats, and its clients break the connection after
// 20 s of silence.
func (p *pulse) sentBeat(now time.Time) { p.nextBeat = now.Add(p.cfg.nextHeartbeat()) }

// beatDue reports whether a heartbeat is due at the tail. The first heartbeat is due at once: only the heartbeat tells
// the client that the read has reached the tail.
func (p *pulse) beatDue(now time.Time) bool {
	if p.quietSince.IsZero() {
		p.quietSince = now
	}
	first := !p.reachedTail
	p.reachedTail = true
	return first || !now.Before(p.nextBeat)
}

// next returns a channel that fires at the next heartbeat or at the end of the wait. over = true means that the read
// has waited long enough. The timer of the first wait serves all waits. Since Go 1.23 a Reset leaves no old value in
// the channel.
func (p *pulse) next(now time.Time) (c <-chan time.Time, over bool) {
	until := p.nextBeat
	if p.wait != nil {
		end := p.quietSince.Add(seconds(*p.wait))
		if !now.Before(end) {
			return nil, true
		}
		// The wait ends exactly then, and not at the heartbeat behind it.
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
