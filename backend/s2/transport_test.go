package s2_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// at makes a client for one address.
func at(t *testing.T, endpoint string, opts ...s2.Option) *s2.Client {
	t.Helper()
	c, err := s2.New(s2.Config{Token: "any-token", AccountEndpoint: endpoint, BasinEndpoint: endpoint}, patient(opts...)...)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// deaf accepts connections and says nothing.
func deaf(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// An append whose connection never came to be was not sent.
func TestAHandshakeThatFailsStoresNothing(t *testing.T) {
	addr := deaf(t)
	for what, opts := range map[string][]s2.Option{
		"the handshake takes too long": {s2.ConnectTimeout(20 * time.Millisecond), s2.Timeout(time.Minute)},
		"the request takes too long":   {s2.ConnectTimeout(time.Minute), s2.Timeout(20 * time.Millisecond)},
	} {
		_, err := at(t, "https://"+addr, opts...).Basin(basinName).Stream("s").Append(t.Context(), values("a"), s2.Condition{})
		if !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%s: %v, want ErrTransient alone", what, err)
		}
	}
}

// A wrong setting is told at once, with what to do, and is nothing to try again.
func TestAWrongSettingIsFinalAndSaysWhatToDo(t *testing.T) {
	plain := s2test.New(t, s2test.Basin(basinName, true))
	addr := strings.TrimPrefix(plain.URL(), "http://")
	secure, roots := terminate(t, plain)
	for what, c := range map[string]struct {
		client *s2.Client
		hint   string
	}{
		"TLS to a server without it":   {at(t, "https://"+addr), "http://host:port"},
		"an authority that is unknown": {at(t, "https://"+secure), "option TLS"},
		"a host of another name":       {at(t, "https://"+secure, s2.TLS(&tls.Config{RootCAs: roots, ServerName: "other"})), "option TLS"},
	} {
		for i, err := range said(t, c.client.Basin(basinName).Stream("s")) {
			if err == nil || errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("%s, call %d: %v, want a final error that says %q", what, i, err, c.hint)
			}
		}
	}
	if _, err := s2.New(s2.Config{Token: "any-token", BasinEndpoint: "h:99999"}); err == nil || !strings.Contains(err.Error(), "99999") {
		t.Errorf("a port that is none: %v", err)
	}
}

// Records keep whole milliseconds, so a start within one begins at the record that was stored with that very time.
func TestARecordIsFoundAtItsTime(t *testing.T) {
	_, st := fresh(t, nil)
	then := time.UnixMilli(1_700_000_000_123).Add(456 * time.Microsecond)
	recs := values("a", "b")
	recs[0].Time, recs[1].Time = then, then.Add(time.Second)
	_, err := st.Append(t.Context(), recs, s2.Condition{})
	check(t, err)
	if b := next(t, open(t, st, backend.AtTime(then))); len(b.Records) != 2 {
		t.Errorf("%q, want a and b", texts(b.Records))
	}
}
