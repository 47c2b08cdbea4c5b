package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

const defaultLocation = "aws:us-east-1"

// A catalog is everything that has a name. The lock of the server guards it.
//
// Nothing runs in the background to remove what was deleted: whoever looks up a name removes it when its time has come.
type catalog struct {
	basins   map[string]*basin
	tokens   map[string]*grant // issued and not revoked, by id
	values   map[string]*grant // the same by secret; nil for those revoked
	location string
	streamID uint64 // of the stream that was created last; a new stream of an old name gets a new id, and so does not find old records
}

func newCatalog() catalog {
	return catalog{basins: map[string]*basin{}, tokens: map[string]*grant{}, values: map[string]*grant{}, location: defaultLocation}
}

type basin struct {
	name      string
	location  string
	createdAt time.Time
	deletedAt time.Time
	cfg       basinConfig
	request   string // what created it, when that had a token
	streams   map[string]*stream
	meter     *meter
}

// basin returns the basin of that name, also if it is being deleted. It returns nil if there is none. The lock is held.
func (s *Server) basin(name string) *basin {
	b := s.catalog.basins[name]
	if b != nil && !b.deletedAt.IsZero() && s.now().Sub(b.deletedAt) >= s.cfg.PurgeAfter {
		delete(s.catalog.basins, name)
		s.forgetBasin(b)
		return nil
	}
	return b
}

// streamOf returns the stream of that name, also if it is being deleted. It returns nil if there is none. The lock is held; the lock
// of the stream is taken inside.
func (s *Server) streamOf(b *basin, name string) *stream {
	st := b.streams[name]
	if st == nil {
		return nil
	}
	now := s.now()
	st.mu.Lock()
	st.sweep(s, now)
	if st.emptyFor(now) {
		st.deletedAt = now
		st.wake()
	}
	gone := !st.deletedAt.IsZero() && now.Sub(st.deletedAt) >= s.cfg.PurgeAfter
	st.mu.Unlock()
	if gone {
		delete(b.streams, name)
		s.forgetStream(st)
		return nil
	}
	return st
}

// liveBasin finds the basin that a call below /streams names.
func (s *Server) liveBasin(name string) (*basin, error) {
	b := s.basin(name)
	switch {
	case b == nil:
		return nil, basinNotFound(name)
	case !b.deletedAt.IsZero():
		return nil, basinDeleting()
	}
	return b, nil
}

// liveStream finds the stream of an append or a read, or creates it if the config of its basin says so.
func (s *Server) liveStream(basin, name string, cfg *streamConfig, create func(*basinConfig) bool) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.liveBasin(basin)
	if err != nil {
		return nil, err
	}
	st := s.streamOf(b, name)
	if st == nil {
		if create == nil || !create(&b.cfg) {
			return nil, streamNotFound(basin, name)
		}
		return s.addStream(b, name, cfg, ""), nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.deletedAt.IsZero() {
		return nil, streamDeleting()
	}
	return st, nil
}

// addStream makes a stream. The lock is held.
func (s *Server) addStream(b *basin, name string, cfg *streamConfig, request string) *stream {
	s.catalog.streamID++
	st := newStream(b, name, s.catalog.streamID, s.now())
	st.cfg = cfg.resolve(b.cfg.DefaultStreamConfig)
	st.request = request
	if b.cfg.StreamCipher != nil {
		st.cipher = *b.cfg.StreamCipher
	}
	s.saveStream(st)
	b.streams[name] = st
	return st
}

// addBasin makes a basin. The lock is held.
func (s *Server) addBasin(name, location string, cfg basinConfig, request string) *basin {
	if location == "" {
		location = s.catalog.location
	}
	b := &basin{name: name, location: location, createdAt: s.now(), cfg: cfg, request: request, streams: map[string]*stream{}, meter: newMeter()}
	s.saveBasin(b)
	s.catalog.basins[name] = b
	return b
}

// seed makes the basins that the Config names.
func (s *Server) seed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.cfg.Basins {
		if err := checkBasinName(b.Name); err != nil {
			return err
		}
		if s.basin(b.Name) == nil {
			s.addBasin(b.Name, "", basinConfig{CreateStreamOnAppend: b.AutoCreate, CreateStreamOnRead: b.AutoCreate}, "")
		}
	}
	return s.waitDurable()
}

func checkBasinName(name string) error {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if len(name) < 8 || len(name) > 48 {
		return invalid("basin name must be between 8 and 48 bytes")
	}
	for i := range len(name) {
		if !alnum(name[i]) && name[i] != '-' {
			return invalid("basin name must comprise lowercase letters, numbers and hyphens")
		}
	}
	if !alnum(name[0]) || !alnum(name[len(name)-1]) {
		return invalid("basin name must begin and end with a lowercase letter or number")
	}
	return nil
}

func checkStreamName(name string) error {
	if len(name) < 1 || len(name) > 512 || name == "." || name == ".." || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
		return invalid("stream name must be between 1 and 512 bytes of UTF-8 without NUL, and neither `.` nor `..`")
	}
	return nil
}

// requestID tells a create call that is repeated: the token and what it was about. Without a token it is "".
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

func sameJSON(a, b any) bool {
	ja, errA := json.Marshal(a)
	jb, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(ja, jb)
}

// page is one page of a list: the names in order, behind after, with the prefix.
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
