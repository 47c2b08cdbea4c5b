package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

const defaultLocation = "aws:us-east-1"

// A catalog holds everything with a name. Server.mu guards the catalog.
//
// No goroutine removes deleted basins and streams in the background. Instead, a call that looks up a name removes a
// basin or stream that was deleted PurgeAfter ago or earlier.
type catalog struct {
	basins   map[string]*basin
	tokens   map[string]*grant // the tokens that are issued and not revoked, by id
	bySecret map[string]*grant // the same tokens by the hash of their secret; a revoked token stays, as nil, so that it is never accepted
	location string            // the default location of new basins
	// streamID is the id of the stream that was created last. A new stream with the name of a deleted stream gets a new
	// id, so the new stream does not find the records of the deleted stream in the file.
	streamID uint64
}

func newCatalog() catalog {
	return catalog{basins: map[string]*basin{}, tokens: map[string]*grant{}, bySecret: map[string]*grant{}, location: defaultLocation}
}

// A basin is a set of streams with their defaults. Server.mu guards the fields that change. The meter has a lock of its
// own. The lookups below hold Server.mu while they take the mu of a stream, and never the other way round: a stream
// does not know its basin except by name.
type basin struct {
	name          string
	location      string
	createdAt     time.Time
	deletedAt     time.Time
	cfg           basinConfig
	createRequest string // the requestID of the call that created the basin, "" if the call had no request token
	streams       map[string]*stream
	meter         *meter
}

// basinLocked returns the basin with this name, even if the basin is being deleted, or nil if the name is free. s.mu is
// held.
func (s *Server) basinLocked(name string) *basin {
	b := s.catalog.basins[name]
	if b != nil && !b.deletedAt.IsZero() && s.now().Sub(b.deletedAt) >= s.cfg.PurgeAfter {
		// The basin leaves the memory and the file under one lock. Otherwise a new basin with the same name could lose
		// its entry in the file to this removal.
		delete(s.catalog.basins, name)
		s.forgetBasinLocked(b)
		return nil
	}
	return b
}

// streamOfLocked returns the stream with this name, even if the stream is being deleted, or nil if the name is free.
// s.mu is held. The function takes the lock of the stream.
func (s *Server) streamOfLocked(b *basin, name string) *stream {
	st := b.streams[name]
	if st == nil {
		return nil
	}
	now := s.now()
	st.mu.Lock()
	// Only a sweep shows whether the stream is empty, because trims and retention remove nothing by themselves.
	st.sweepLocked(s, now)
	// The deletion is not stored. After a restart the stream is still empty, and this check finds it again.
	if st.emptyForLocked(now) {
		st.deletedAt = now
		// The following readers look at deletedAt only when they wake, and end then.
		st.wakeLocked()
	}
	gone := !st.deletedAt.IsZero() && now.Sub(st.deletedAt) >= s.cfg.PurgeAfter
	st.mu.Unlock()
	if gone {
		// The name is free from here on, but the file still holds the old records. A new stream has another id, so it
		// does not find them.
		delete(b.streams, name)
		s.forgetStreamLocked(st)
		return nil
	}
	return st
}

// liveBasinLocked returns the basin that a call on streams names, or an error if the basin is missing or being deleted.
// s.mu is held.
func (s *Server) liveBasinLocked(name string) (*basin, error) {
	b := s.basinLocked(name)
	switch {
	case b == nil:
		return nil, basinNotFound(name)
	case !b.deletedAt.IsZero():
		return nil, basinDeleting(name)
	}
	return b, nil
}

// liveStream returns the stream of an append or a read. If the stream is missing, and create says yes to the config of
// the basin, liveStream creates the stream with cfg. A nil create never creates. The lookup and the creation are one
// step under Server.mu. Apart, two appends to a missing stream could both create it, and the records of one of them
// would be lost.
func (s *Server) liveStream(basin, name string, cfg *streamConfig, create func(*basinConfig) bool) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.liveBasinLocked(basin)
	if err != nil {
		return nil, err
	}
	st := s.streamOfLocked(b, name)
	if st == nil {
		if create == nil || !create(&b.cfg) {
			return nil, streamNotFound(basin, name)
		}
		// The creation is queued at the store in front of the first batch. The ack of the batch then means that the
		// stream is durable too, and nobody waits for the creation alone.
		return s.addStreamLocked(b, name, cfg, ""), nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.deletedAt.IsZero() {
		return nil, streamDeleting(basin, name)
	}
	return st, nil
}

// addStreamLocked creates a stream. s.mu is held. The config is resolved once, now: a later change of the basin's
// defaults does not change existing streams.
func (s *Server) addStreamLocked(b *basin, name string, cfg *streamConfig, request string) *stream {
	s.catalog.streamID++
	st := newStream(b, name, s.catalog.streamID, s.now())
	st.cfg = cfg.resolve(b.cfg.DefaultStreamConfig)
	st.createRequest = request
	if b.cfg.StreamCipher != nil {
		// The cipher is that of the basin at this moment, and stays: S2 takes it over at the creation of a stream.
		st.cipher = *b.cfg.StreamCipher
	}
	s.saveStreamLocked(st)
	b.streams[name] = st
	return st
}

// addBasinLocked creates a basin. s.mu is held.
func (s *Server) addBasinLocked(name, location string, cfg basinConfig, request string) *basin {
	if location == "" {
		location = s.catalog.location
	}
	b := &basin{name: name, location: location, createdAt: s.now(), cfg: cfg, createRequest: request, streams: map[string]*stream{}, meter: newMeter()}
	s.saveBasinLocked(b)
	s.catalog.basins[name] = b
	return b
}

// seed creates the basins that the Config names, if they do not exist. The names are checked here, because a client
// could never name a basin with a wrong name. The wait makes sure that a basin of the Config is in the file when New
// returns.
func (s *Server) seed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.cfg.Basins {
		if err := checkBasinName(b.Name); err != nil {
			return err
		}
		if s.basinLocked(b.Name) == nil {
			s.addBasinLocked(b.Name, "", basinConfig{CreateStreamOnAppend: b.AutoCreate, CreateStreamOnRead: b.AutoCreate}, "")
		}
	}
	return s.waitDurable()
}

// checkBasinName checks the form that S2 demands: 8 to 48 bytes, because the hosted service makes a host name of it.
func checkBasinName(name string) error {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if len(name) < 8 || len(name) > 48 {
		return invalid("basin name `%s` must be between 8 and 48 bytes", name)
	}
	for i := range len(name) {
		if !alnum(name[i]) && name[i] != '-' {
			return invalid("basin name `%s` must comprise lowercase letters, numbers and hyphens", name)
		}
	}
	if !alnum(name[0]) || !alnum(name[len(name)-1]) {
		return invalid("basin name `%s` must begin and end with a lowercase letter or number", name)
	}
	return nil
}

// checkStreamName counts bytes and not characters, as S2 does. The names . and .. are refused, because clients and
// proxies resolve them in the path of a URL, and the call would reach another stream or none.
func checkStreamName(name string) error {
	if len(name) < 1 || len(name) > 512 || name == "." || name == ".." || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
		return invalid("stream name must be between 1 and 512 bytes of UTF-8 without NUL, and neither `.` nor `..`")
	}
	return nil
}

// requestID identifies a create call that a client may repeat: by the request token and the content of the request. A
// second call with the same requestID changes nothing and succeeds, because the client may have lost the first answer.
// The content counts too: the same token with another request is a mistake of the client, and must not look like a
// success. Without a token requestID is "". S2 gives no time after which a token is forgotten. Here it lives as long as
// the basin or stream that it has created.
func requestID(token string, request any) (string, error) {
	if token == "" {
		return "", nil
	}
	if len(token) > maxToken {
		return "", badRequest("bad_header", "s2-request-token exceeds %d bytes", maxToken)
	}
	b, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	return token + " " + string(b), nil
}

// sameJSON compares two configs as a client sees them. Configs hold pointers, and == would compare the addresses.
func sameJSON(a, b any) bool {
	ja, errA := json.Marshal(a)
	jb, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(ja, jb)
}

// page returns a page of a sorted list: the names behind after with the prefix, at most limit. more = true: another
// page follows. A client asks for the next page with the last name of this page. Therefore a name added or removed
// meanwhile shifts no other name to another page.
func page(names []string, prefix, after string, limit int) (out []string, more bool) {
	for _, name := range names {
		if name <= after && after != "" || !strings.HasPrefix(name, prefix) {
			continue
		}
		if len(out) == limit {
			return out, true
		}
		out = append(out, name)
	}
	return out, false
}
