package server

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A listing holds the query parameters of a list call.
type listing struct {
	prefix, after string
	limit         int
}

// listing reads the parameters of a list call. S2 defines: a limit of 0 or above 1000 means 1000, and is no error. A
// start_after in front of the prefix is allowed; the first versions of S2 refused it.
func (x *exchange) listing() (l listing, err error) {
	v := x.r.URL.Query()
	l = listing{v.Get("prefix"), v.Get("start_after"), maxPage}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return l, badRequest("bad_query", "limit: `%s` is not a number", s)
		}
		if n > 0 && n < maxPage {
			l.limit = int(n)
		}
	}
	return l, nil
}

// timeOrNull returns null for the zero time. The open-source server writes null for an absent time where the hosted
// service leaves the field out, and clients accept both.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

// A basinInfo holds the location twice, because older clients know the location as the scope.
type basinInfo struct {
	Name      string     `json:"name"`
	Location  string     `json:"location"`
	Scope     string     `json:"scope"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at"`
	State     string     `json:"state"`
}

func (b *basin) info() basinInfo {
	state := "active"
	if !b.deletedAt.IsZero() {
		state = "deleting"
	}
	return basinInfo{b.name, b.location, b.location, b.createdAt.UTC(), timeOrNull(b.deletedAt), state}
}

// listBasins lists the basins that the token may see, deleted ones included: a client that deletes a basin waits until
// the basin is gone from the list.
func (x *exchange) listBasins() error {
	l, err := x.listing()
	if err != nil {
		return err
	}
	if _, err := x.permit("list-basins", "", ""); err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	var names []string
	for name := range s.catalog.basins {
		if s.basinLocked(name) != nil && (x.who.root() || x.who.Scope.Basins.holds(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names, more := page(names, l.prefix, l.after, l.limit)
	// Copies are made under the lock, and the answer is written without it: a slow client must not hold up all other
	// calls. The slice is made even if it stays empty, because nil would become null in JSON.
	infos := []basinInfo{}
	for _, name := range names {
		infos = append(infos, s.catalog.basins[name].info())
	}
	s.mu.Unlock()
	return x.answer(http.StatusOK, map[string]any{"basins": infos, "has_more": more})
}

type basinRequest struct {
	Basin    string      `json:"basin"`
	Config   basinConfig `json:"config"`
	Location *string     `json:"location"`
	Scope    *string     `json:"scope"`
}

// location returns the location of the request, which older clients call scope, or "" for the default of the account.
func (r *basinRequest) location() (string, error) {
	l := or(r.Location, r.Scope, new(""))
	if *l != "" {
		return *l, checkLocation(*l)
	}
	return "", nil
}

// checkLocation checks the form alone. This server stores everything in one place, whatever the location says.
func checkLocation(name string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(":.-", r))
	}
	if len(name) < 1 || len(name) > 64 || strings.ContainsFunc(name, bad) {
		return invalid("location `%s` must have 1 to 64 letters, digits, colons, dots and hyphens", name)
	}
	return nil
}

// mayCreate makes the checks of a call that may create the basin with this name, and returns the location for the
// basin. All of them come before Server.mu is taken: they depend on the request alone, and a refused request costs the
// other requests nothing.
func (x *exchange) mayCreate(name string, req *basinRequest) (location string, err error) {
	if err := checkBasinName(name); err != nil {
		return "", err
	}
	if _, err := x.permit("create-basin", name, ""); err != nil {
		return "", err
	}
	if location, err = req.location(); err != nil {
		return "", err
	}
	return location, req.Config.check()
}

// createBasin makes a basin, and refuses a name that is taken, unless the same client repeats its own request. The
// answer 201 of the repetition is that of the open-source server; the specification says 200, and clients take both.
func (x *exchange) createBasin() error {
	var req basinRequest
	if err := x.decode(&req, false); err != nil {
		return err
	}
	location, err := x.mayCreate(req.Basin, &req)
	if err != nil {
		return err
	}
	id, err := requestID(x.r.Header.Get("s2-request-token"), &req)
	if err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	b := s.basinLocked(req.Basin)
	result := "created"
	switch {
	case b == nil:
		b = s.addBasinLocked(req.Basin, location, req.Config, id)
	case !b.deletedAt.IsZero():
		err = basinDeleting(req.Basin)
	case id != "" && b.createRequest == id:
		result = "noop"
	default:
		err = fail(http.StatusConflict, "resource_already_exists", "basin `%s` exists already", req.Basin)
	}
	info := b.info()
	s.mu.Unlock()
	return x.provisioned(http.StatusCreated, result, info, err)
}

// ensureBasin makes a basin, or gives an existing basin the config of the request. It may be repeated at will.
func (x *exchange) ensureBasin(name string) error {
	var req basinRequest
	if err := x.decode(&req, true); err != nil {
		return err
	}
	location, err := x.mayCreate(name, &req)
	if err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	b := s.basinLocked(name)
	status, result := http.StatusOK, "noop"
	switch {
	case b == nil:
		status, result = http.StatusCreated, "created"
		b = s.addBasinLocked(name, location, req.Config, "")
	case !b.deletedAt.IsZero():
		err = basinDeleting(name)
	// The same config again is a noop and not stored: a program that ensures its basins at each start would cost a sync
	// each.
	case !sameJSON(b.cfg, req.Config):
		result = "updated"
		b.cfg = req.Config
		s.saveBasinLocked(b)
	}
	info := b.info()
	s.mu.Unlock()
	return x.provisioned(status, result, info, err)
}

// provisioned answers a call that creates a basin or a stream, or gives it a config. result says which of them it did.
func (x *exchange) provisioned(status int, result string, info any, err error) error {
	if err != nil {
		return err
	}
	x.w.Header().Set("s2-provision-result", result)
	return x.answer(status, info)
}

// getBasin also answers while the basin is being deleted, as the open-source server does.
func (x *exchange) getBasin(name string) error {
	if _, err := x.permit("get-basin-config", name, ""); err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	b := s.basinLocked(name)
	if b == nil {
		s.mu.Unlock()
		return basinNotFound(name)
	}
	cfg := b.cfg
	s.mu.Unlock()
	return x.answer(http.StatusOK, cfg)
}

// patchBasin changes the fields of the config that the request names. The defaults for streams hold for new streams
// only: see addStreamLocked.
func (x *exchange) patchBasin(name string) error {
	var p basinPatch
	if err := x.decode(&p, false); err != nil {
		return err
	}
	if _, err := x.permit("reconfigure-basin", name, ""); err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	b, err := s.liveBasinLocked(name)
	var cfg basinConfig
	if err == nil {
		cfg = p.apply(b.cfg)
		// The check comes before the basin changes, and on the whole result: a wrong patch must not leave a config
		// behind that no stream can be created with.
		if err = cfg.check(); err == nil {
			b.cfg = cfg
			s.saveBasinLocked(b)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, cfg)
}

// deleteBasin marks the basin and all its streams. Their records are gone at once for readers. The name stays taken
// until PurgeAfter has passed. The mark of the basin is stored before the answer. Behind the answer no batch of the
// basin can become durable any more, also after a crash.
func (x *exchange) deleteBasin(name string) error {
	if _, err := x.permit("delete-basin", name, ""); err != nil {
		return err
	}
	s := x.srv
	s.mu.Lock()
	b := s.basinLocked(name)
	if b == nil {
		s.mu.Unlock()
		return basinNotFound(name)
	}
	// A second call changes nothing: a client repeats a deletion whose answer was lost.
	if b.deletedAt.IsZero() {
		b.deletedAt = s.now()
		s.saveBasinLocked(b)
		// The marks of the streams are not stored. After a restart they follow from the mark of the basin: see
		// restoreStream.
		for st := range maps.Values(b.streams) {
			st.beginDeletion(b.deletedAt)
		}
	}
	s.mu.Unlock()
	return x.empty(http.StatusAccepted)
}

// A locationInfo names a place where the hosted service keeps basins. Here a location is only a name.
type locationInfo struct {
	Name      string `json:"name"`
	IsPrivate bool   `json:"is_private"`
}

func (x *exchange) listLocations() error {
	if _, err := x.permit("list-locations", "", ""); err != nil {
		return err
	}
	return x.answer(http.StatusOK, []locationInfo{{Name: "aws:eu-north-1"}, {Name: defaultLocation}, {Name: "aws:us-west-2"}})
}

func (x *exchange) defaultLocation() error {
	if _, err := x.permit("get-default-location", "", ""); err != nil {
		return err
	}
	x.srv.mu.Lock()
	name := x.srv.catalog.location
	x.srv.mu.Unlock()
	return x.answer(http.StatusOK, locationInfo{Name: name})
}

func (x *exchange) setLocation() error {
	var name string
	if err := x.decode(&name, false); err != nil {
		return err
	}
	if _, err := x.permit("set-default-location", "", ""); err != nil {
		return err
	}
	if err := checkLocation(name); err != nil {
		return err
	}
	x.srv.mu.Lock()
	x.srv.catalog.location = name
	// Memory and queue change under one lock, so the file cannot end with the older of two locations.
	x.srv.putLocked("location", "", name)
	x.srv.mu.Unlock()
	return x.answer(http.StatusOK, locationInfo{Name: name})
}
