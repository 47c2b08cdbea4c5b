// Package debug shows the numbers of an [observe.Registry] on a live page: rates, lag, buffers, latency, errors, and small charts
// of the last two minutes. The page needs no metrics system.
//
//	mux.Handle("/debug/headrace/", debug.Handler(reg))
//
// The page tells names of streams and texts of errors. Serve the page where only operators come, as you do with net/http/pprof.
package debug

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/observe"
)

//go:embed page.html
var page []byte

// interval is the time between two samples. An operator sees a change within a second, and a page costs one small event a second.
const interval = time.Second

// Handler returns a handler for the page and its data. The handler may be mounted at any path with a slash at the end:
//
//	…/          the page
//	…/events    samples as server-sent events, one a second until the client leaves
//	…/snapshot  one sample as JSON; its rates are averages since Handler was called
func Handler(reg *observe.Registry) http.Handler { return &handler{reg: reg, begun: reg.Snapshot()} }

type handler struct {
	reg   *observe.Registry
	begun observe.Snapshot
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; name {
	case "":
		header := w.Header()
		header.Set("Content-Type", "text/html; charset=utf-8")
		// The browser runs only the script of the page. The error text of a store could contain another script.
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
		header.Set("X-Content-Type-Options", "nosniff")
		w.Write(page)
	case "events":
		h.events(w, r)
	case "snapshot":
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(sampleOf(h.begun, h.reg.Snapshot()))
	default:
		http.NotFound(w, r)
	}
}

// events sends a sample each interval until the client leaves.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	before := h.reg.Snapshot()
	for now := before; ; {
		text, err := json.Marshal(sampleOf(before, now))
		if err != nil {
			return
		}
		// A client may stop reading, and must not hold this goroutine for ever. A ResponseWriter without deadlines returns an error
		// here, and its writes are not bounded.
		_ = out.SetWriteDeadline(time.Now().Add(10 * interval))
		if _, err := w.Write([]byte("data: " + string(text) + "\n\n")); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
			before, now = now, h.reg.Snapshot()
		case <-r.Context().Done():
			return
		}
	}
}
