package producer

import "time"

// An outage is a time in which the store cannot be reached: two attempts in a row have failed, so it is more than one session
// that was lost. The producer lives through it. The engine's goroutine alone uses it.
type outage struct {
	since time.Time // zero: there is none
}

// troubled is called when an attempt has failed with err. tries counts it.
func (e *engine) troubled(tries attempts, err error) {
	if tries.spent < 2 || !e.outage.since.IsZero() {
		return
	}
	e.outage.since = time.Now()
	e.logger.Warn("producer: outage begins: the store cannot be reached, records wait in the buffer", "err", err)
}

// recovered is called when the store has answered.
func (e *engine) recovered() {
	if e.outage.since.IsZero() {
		return
	}
	e.logger.Warn("producer: outage ends", "took", time.Since(e.outage.since))
	e.outage.since = time.Time{}
}
