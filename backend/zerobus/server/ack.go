package server

// acknowledge acknowledges a stored request, now or later, as the policy demands. The caller has stored the request
// before: an ack says that the rows are durable, and a client forgets rows that are acknowledged. The service
// acknowledges in groups and after some 100 ms. AckEach is quicker than the service, so a client that works only with
// quick acks shows its fault under AckEvery and AckAfter.
func (st *stream) acknowledge(offset int64) error {
	p := st.srv.cfg.Acks
	switch {
	// The client has to keep all rows, until the client itself ends the stream.
	case p.never:
	// Each request has its own timer, so each ack is late by the same time, as the acks of a slow server are.
	case p.every == 0:
		st.after(p.after, func() { st.ackTo(offset) })
	default:
		st.mu.Lock()
		// Only one timer waits at a time, and acknowledges everything that is stored when the timer fires. A timer for
		// each request would only acknowledge the same offsets again, and a fast client would start thousands of
		// timers.
		due := offset-st.acked >= int64(p.every)
		wait := !due && !st.ackDue
		st.ackDue = st.ackDue || wait
		st.mu.Unlock()
		if due {
			// One ack covers all requests since the last ack, because acks are cumulative.
			return st.ack(offset)
		}
		if wait {
			st.after(p.after, func() {
				st.mu.Lock()
				st.ackDue = false
				// The timer reads stored when it fires: requests that came after the timer was set are covered too.
				upTo := st.stored
				st.mu.Unlock()
				st.ackTo(upTo)
			})
		}
	}
	return nil
}

// ackTo acknowledges from a timer. The stream may have ended since the timer was set; then finish does nothing. A timer
// has no caller who could handle the error, so an error ends the stream.
func (st *stream) ackTo(offset int64) {
	if err := st.ack(offset); err != nil {
		st.finish(err)
	}
}

// ack acknowledges up to offset, unless a later offset was acknowledged already. Timers may fire in any order, and an
// ack with a smaller offset would be an error of the protocol. The faults Ack and AckAhead send such acks on purpose,
// and do not come here.
func (st *stream) ack(offset int64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if offset <= st.acked {
		return nil
	}
	// acked moves before the send. If the send fails, the stream ends, and nobody looks at acked any more.
	st.acked = offset
	return st.sendLocked(acked(offset), Event{Kind: Acked, Offset: offset})
}

// halfClosed ends a stream after the client has sent everything. halfClosed first acknowledges all stored requests,
// whatever the policy has left over. Otherwise the client would have to send the last requests again, and rows would be
// in the table twice. AckNever is the exception: tests use AckNever to see what a client does then.
func (st *stream) halfClosed() error {
	st.log.add(Event{Kind: HalfClosed, Offset: -1})
	if done, err := st.stage(Closing); done || err != nil {
		return err
	}
	// A script decides each ack by itself, also the last.
	if st.script == nil && !st.srv.cfg.Acks.never {
		st.mu.Lock()
		upTo := st.stored
		st.mu.Unlock()
		if err := st.ack(upTo); err != nil {
			return err
		}
	}
	return errEOF
}
