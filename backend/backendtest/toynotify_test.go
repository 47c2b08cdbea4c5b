package backendtest

func (r *toyReader) Notify(f func()) bool {
	t := r.toy
	t.mu.Lock()
	defer t.mu.Unlock()
	ready := func() bool { return r.reason != nil || r.at < len(t.recs) || t.finished || r.pin || !r.told }
	switch {
	case t.is("always says that a Read would return"):
		return true
	case t.is("calls the function of Notify at once"):
		f()
	case ready() && !t.is("always says that a Read would wait"):
		return true
	}
	if t.is("does not call the function of Notify") {
		return false
	}
	t.notices = append(t.notices, func() bool {
		end := r.reason != nil || t.finished
		if !ready() || end && t.is("forgets Notify at the end") {
			return false
		}
		f()
		return !t.is("calls the function of Notify for ever")
	})
	return false
}
