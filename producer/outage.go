package producer

import "time"

// An outage is a time in which the store cannot be reached. An outage begins with the second failed attempt in a row, because a
// single lost session is normal. The producer waits until the outage ends. Only the goroutine of run uses an outage, so there
// is no lock.
type outage struct {
	since time.Time // zero: the store can be reached
}

// attemptFailed begins an outage when err is the second failure in a row. tries already counts the attempt.
func (e *engine) attemptFailed(tries attempts, err error) {
	if tries.spent < 2 || !e.outage.since.IsZero() {
		return
	}
	e.outage.since = time.Now()
	e.logger.Warn("producer: outage begins: the store cannot be reached, records wait in the buffer", "err", err)
}

// storeAnswered ends an outage. An ack and a refusal are answers, and so is the opening in New.
func (e *engine) storeAnswered() {
	if e.outage.since.IsZero() {
		return
	}
	e.logger.Warn("producer: outage ends", "took", time.Since(e.outage.since))
	e.outage.since = time.Time{}
}
