package server

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// A streamInfo is S2's description of a stream in lists and in answers about its creation. The config is not part of
// it.
type streamInfo struct {
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at"`
	Cipher    *string    `json:"cipher"`
}

// info describes the stream under the name by which the client knows it, without the prefix of the token.
func (s *stream) info(name string) streamInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := streamInfo{Name: name, CreatedAt: s.createdAt.UTC(), DeletedAt: timeOrNull(s.deletedAt)}
	if s.cipher != "" {
		info.Cipher = &s.cipher
	}
	return info
}

func (x *exchange) listStreams() error {
	l, err := x.listing()
	if err != nil {
		return err
	}
	name, err := x.basinName()
	if err != nil {
		return err
	}
	// A list names no stream, so only the basin is checked here. The streams themselves are filtered below.
	if _, err := x.permit("list-streams", name, ""); err != nil {
		return err
	}
	// A token with a prefix sees only its own part of the basin, under names without the prefix. The client must never
	// notice that other streams exist.
	own := x.who.prefix()
	if l.after != "" {
		l.after = own + l.after
	}
	s := x.srv
	s.mu.Lock()
	b := s.basinLocked(name)
	if b == nil {
		s.mu.Unlock()
		return basinNotFound(name)
	}
	var names []string
	for name := range b.streams {
		// streamOfLocked removes the streams whose name is free again, so they are not listed. Removing a key of a map
		// during its range is safe in Go.
		if s.streamOfLocked(b, name) != nil && (x.who.root() || x.who.Scope.Streams.holds(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names, more := page(names, own+l.prefix, l.after, l.limit)
	infos := []streamInfo{}
	for _, name := range names {
		infos = append(infos, b.streams[name].info(strings.TrimPrefix(name, own)))
	}
	s.mu.Unlock()
	return x.answer(http.StatusOK, map[string]any{"streams": infos, "has_more": more})
}

// named makes the checks of every call on one stream: the basin, the permission, the name. name is the full name of the
// stream.
func (x *exchange) named(op, stream string) (basin, name string, err error) {
	if basin, err = x.basinName(); err != nil {
		return "", "", err
	}
	if name, err = x.permit(op, basin, stream); err != nil {
		return "", "", err
	}
	return basin, name, checkStreamName(name)
}

// createStream makes a stream, and refuses a name that is taken, unless the same client repeats its own request. The
// request is checked whole before anything is looked up, so a refused request has no effect.
func (x *exchange) createStream() error {
	var req struct {
		Stream string        `json:"stream"`
		Config *streamConfig `json:"config"`
	}
	if err := x.decode(&req, false); err != nil {
		return err
	}
	if err := req.Config.check(); err != nil {
		return err
	}
	// The name from the body is checked alone first. Behind the prefix of a token, the names . and .. would pass the
	// check in named.
	if err := checkStreamName(req.Stream); err != nil {
		return err
	}
	basin, name, err := x.named("create-stream", req.Stream)
	if err != nil {
		return err
	}
	id, err := requestID(x.r.Header.Get("s2-request-token"), &req)
	if err != nil {
		return err
	}
	result := "created"
	s := x.srv
	s.mu.Lock()
	st, err := s.streamForProvisionLocked(basin, name)
	switch {
	case err != nil:
	case st == nil:
		st = s.addStreamLocked(s.catalog.basins[basin], name, req.Config, id)
	// The client repeats a request whose answer was lost.
	case id != "" && st.createRequest == id:
		result = "noop"
	default:
		err = fail(http.StatusConflict, "resource_already_exists", "stream `%s` in basin `%s` exists already", req.Stream, basin)
	}
	s.mu.Unlock()
	if err != nil {
		return err // st may be nil
	}
	return x.provisioned(http.StatusCreated, result, st.info(req.Stream), nil)
}

// streamForProvisionLocked returns the stream with this name, or nil if the name is free. A stream that is being
// deleted is an error. s.mu is held.
func (s *Server) streamForProvisionLocked(basin, name string) (*stream, error) {
	b, err := s.liveBasinLocked(basin)
	if err != nil {
		return nil, err
	}
	st := s.streamOfLocked(b, name)
	if st == nil {
		return nil, nil
	}
	if _, err := st.liveTail(); err != nil {
		return nil, err
	}
	return st, nil
}

// ensureStream makes a stream, or gives an existing stream the config of the request. It may be repeated at will: the
// config replaces the old one as a whole, with the defaults in place of absent fields, and the same config again
// changes nothing. Its body is the config itself; S2 wraps it only in createStream.
func (x *exchange) ensureStream() error {
	var cfg *streamConfig
	if err := x.decode(&cfg, true); err != nil {
		return err
	}
	if err := cfg.check(); err != nil {
		return err
	}
	basin, name, err := x.named("create-stream", x.stream)
	if err != nil {
		return err
	}
	status, result := http.StatusOK, "noop"
	s := x.srv
	s.mu.Lock()
	st, err := s.streamForProvisionLocked(basin, name)
	switch {
	case err != nil:
	case st == nil:
		status, result = http.StatusCreated, "created"
		st = s.addStreamLocked(s.catalog.basins[basin], name, cfg, "")
	default:
		full := cfg.resolve(s.catalog.basins[basin].cfg.DefaultStreamConfig)
		// An unchanged config is not stored again: a program that ensures its streams at each start would cost a sync
		// for each.
		if changed := st.reconfigure(func(streamConfig) streamConfig { return full }); changed {
			result = "updated"
			s.saveStreamLocked(st)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return err // st may be nil
	}
	return x.provisioned(status, result, st.info(x.stream), nil)
}

// reconfigure replaces the config with f(config), and reports whether the config has changed. f runs with s.mu held, so
// no change of another request is lost between the look and the change.
func (s *stream) reconfigure(f func(streamConfig) streamConfig) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := f(s.cfg)
	changed = !sameJSON(cfg, s.cfg)
	s.cfg = cfg
	return changed
}

// config returns a copy. A config is never changed in place, so the pointers in the copy may be shared.
func (s *stream) config() streamConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// getStream answers with the resolved config: a client sees the defaults that hold, and not null.
func (x *exchange) getStream() error {
	basin, name, err := x.named("get-stream-config", x.stream)
	if err != nil {
		return err
	}
	st, err := x.srv.liveStream(basin, name, nil, nil)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, st.config())
}

// patchStream changes the fields that the request names. A field of null goes back to the default of the basin as it is
// now, so the basin is looked up too. Older documents of S2 took null for no change; its tests do not tell the two
// apart.
func (x *exchange) patchStream() error {
	var p streamPatch
	if err := x.decode(&p, false); err != nil {
		return err
	}
	basin, name, err := x.named("reconfigure-stream", x.stream)
	if err != nil {
		return err
	}
	// The patch alone is checked, before the stream is looked up: a wrong value is wrong for every stream.
	if err := p.apply(nil).check(); err != nil {
		return err
	}
	s := x.srv
	st, err := s.liveStream(basin, name, nil, nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	var def *streamConfig
	if b := s.catalog.basins[basin]; b != nil {
		def = b.cfg.DefaultStreamConfig
	}
	st.reconfigure(func(old streamConfig) streamConfig { return p.apply(&old).resolve(def) })
	s.saveStreamLocked(st)
	s.mu.Unlock()
	return x.answer(http.StatusOK, st.config())
}

// deleteStream marks the stream as deleted. A second call succeeds too, because a client repeats a deletion whose
// answer was lost. The records are gone for readers at once, and the name stays taken until PurgeAfter has passed: see
// streamOfLocked.
func (x *exchange) deleteStream() error {
	basin, name, err := x.named("delete-stream", x.stream)
	if err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	b, err := s.liveBasinLocked(basin)
	if err == nil {
		if st := s.streamOfLocked(b, name); st == nil {
			err = streamNotFound(basin, x.stream)
		} else {
			// The mark is set in memory first. From now on no batch gets a place, and no batch is queued behind the
			// entry with the mark.
			st.beginDeletion(s.now())
			s.saveStreamLocked(st)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return x.empty(http.StatusAccepted)
}

// checkTail answers with the tail. S2 promises: after an ack of a batch, the tail is behind the batch.
func (x *exchange) checkTail() error {
	s, err := x.target("check-tail", autoRead)
	if err != nil {
		return err
	}
	// The tail, and not next: the client may act on the answer, and a batch on its way to the disk may still fail.
	tail, err := s.liveTail()
	if err != nil {
		return err
	}
	if err := x.applyFault(x.srv.strike(x.op, x.stream, Replying)); err != nil {
		return err
	}
	return x.answer(http.StatusOK, map[string]position{"tail": tail})
}
