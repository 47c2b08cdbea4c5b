package durablestreams

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostIdle and idleTimeout bound what a Client keeps open for later: links here, and connections in the pool of net/http. 64 are
// enough for a dozen producers with the default of five requests in flight: with fewer, each burst would dial again.
const (
	mostIdle    = 64
	idleTimeout = 90 * time.Second
)

// links are the idle links of a Client, which has one server.
type links struct {
	mu    sync.Mutex
	idle  []*link // the last one was used last
	timer *time.Timer
}

// linksReach reports whether links can take the place of net/http's connections to the server at base. They cannot where a proxy
// stands between, and where the host needs the rewriting of net/http: a name that is not ASCII, or an address with a zone.
func linksReach(base *url.URL) bool {
	ascii := strings.IndexFunc(base.Host, func(r rune) bool { return r >= 0x80 || r == '%' }) < 0
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	return canTellIdle && ascii && proxy == nil && err == nil
}

// take returns the idle link that was used last, or nil. A server may close an idle connection at any time, and a request on a
// closed one would end a session. So take looks whether something has come on the link since: the end, or bytes that nobody
// asked for.
func (p *links) take() *link {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		l := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if time.Since(l.idleSince) < idleTimeout && stillIdle(l.raw) {
			return l
		}
		l.cut()
	}
}

// put keeps a link for the next request.
func (p *links) put(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= mostIdle {
		l.cut()
		return
	}
	l.idleSince = time.Now()
	p.idle = append(p.idle, l)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTimeout, p.sweep)
	}
}

// sweep closes the links that were idle for too long. Without sweep, a program that has stopped writing would keep the links.
func (p *links) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := slices.IndexFunc(p.idle, func(l *link) bool { return time.Since(l.idleSince) < idleTimeout })
	if fresh < 0 {
		fresh = len(p.idle)
	}
	for _, l := range p.idle[:fresh] {
		l.cut()
	}
	p.idle, p.timer = slices.Delete(p.idle, 0, fresh), nil
	if len(p.idle) > 0 {
		p.timer = time.AfterFunc(idleTimeout-time.Since(p.idle[0].idleSince), p.sweep)
	}
}

// close closes all idle links.
func (p *links) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.idle {
		l.cut()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
