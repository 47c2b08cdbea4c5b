package server

import "net/http"

// A handler serves one request. It returns an error if the request failed.
type handler func() error

// A route is one endpoint. In path, "*" stands for any one name.
type route struct {
	method string
	path   []string
	op     Op // the class of the request for faults; 0 if pick sets it
	pick   func(x *exchange, parts []string) handler
}

// routes is the whole API, except /health and /ping. A path holds the segments behind /v1/. The API is a table and not
// an [http.ServeMux], because faults and counters must know the class of a request before its handler runs.
var routes = []route{
	{http.MethodGet, at("basins"), AccountCall, plainly((*exchange).listBasins)},
	{http.MethodPost, at("basins"), AccountCall, plainly((*exchange).createBasin)},
	{http.MethodGet, at("basins", "*"), AccountCall, byName((*exchange).getBasin)},
	{http.MethodPut, at("basins", "*"), AccountCall, byName((*exchange).ensureBasin)},
	{http.MethodPatch, at("basins", "*"), AccountCall, byName((*exchange).patchBasin)},
	{http.MethodDelete, at("basins", "*"), AccountCall, byName((*exchange).deleteBasin)},

	{http.MethodGet, at("access-tokens"), AccountCall, plainly((*exchange).listTokens)},
	{http.MethodPost, at("access-tokens"), AccountCall, plainly((*exchange).issueToken)},
	{http.MethodDelete, at("access-tokens", "*"), AccountCall, byName((*exchange).revokeToken)},

	{http.MethodGet, at("metrics"), AccountCall, pickMetrics},
	{http.MethodGet, at("metrics", "*"), AccountCall, pickMetrics},
	{http.MethodGet, at("metrics", "*", "*"), AccountCall, pickMetrics},

	{http.MethodGet, at("locations"), AccountCall, plainly((*exchange).listLocations)},
	{http.MethodGet, at("locations", "default"), AccountCall, plainly((*exchange).defaultLocation)},
	{http.MethodPut, at("locations", "default"), AccountCall, plainly((*exchange).setLocation)},

	{http.MethodGet, at("streams"), StreamCall, plainly((*exchange).listStreams)},
	{http.MethodPost, at("streams"), StreamCall, plainly((*exchange).createStream)},
	{http.MethodGet, at("streams", "*"), StreamCall, plainly((*exchange).getStream)},
	{http.MethodPut, at("streams", "*"), StreamCall, plainly((*exchange).ensureStream)},
	{http.MethodPatch, at("streams", "*"), StreamCall, plainly((*exchange).patchStream)},
	{http.MethodDelete, at("streams", "*"), StreamCall, plainly((*exchange).deleteStream)},
	{http.MethodGet, at("streams", "*", "records", "tail"), CheckTail, plainly((*exchange).checkTail)},
	{http.MethodPost, at("streams", "*", "records"), 0, func(x *exchange, _ []string) handler { return x.append() }},
	{http.MethodGet, at("streams", "*", "records"), 0, func(x *exchange, _ []string) handler { return x.read() }},
}

func at(path ...string) []string { return path }

// plainly makes a handler of f. f finds the name of the stream, if the path has one, in the exchange.
func plainly(f func(*exchange) error) func(*exchange, []string) handler {
	return func(x *exchange, _ []string) handler { return func() error { return f(x) } }
}

// byName makes a handler of f for a path that ends with a name.
func byName(f func(x *exchange, name string) error) func(*exchange, []string) handler {
	return func(x *exchange, parts []string) handler {
		return func() error { return f(x, parts[1]) }
	}
}

func pickMetrics(x *exchange, parts []string) handler {
	return func() error { return x.metrics(parts[1:]) }
}

// find returns the handler for the path and the method. It sets the op and the stream of the exchange, which faults are
// chosen by.
func (x *exchange) find(parts []string) (handler, error) {
	for i := range routes {
		r := &routes[i]
		if !r.fits(x.r.Method, parts) {
			continue
		}
		// The op is known before the token is checked, because faults strike first: see route.
		x.op = r.op
		if parts[0] == "streams" && len(parts) > 1 {
			x.stream = parts[1]
		}
		return r.pick(x, parts), nil
	}
	return nil, fail(http.StatusNotFound, "not_found", "no such endpoint: %s %s", x.r.Method, x.r.URL.Path)
}

func (r *route) fits(method string, parts []string) bool {
	if r.method != method || len(r.path) != len(parts) {
		return false
	}
	for i, p := range r.path {
		if p != "*" && p != parts[i] {
			return false
		}
	}
	return true
}
