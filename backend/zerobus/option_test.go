package zerobus

import (
	"crypto/tls"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// rightConfig is a configuration that is right.
var rightConfig = Config{Endpoint: "https://123.zerobus.eu.example.com", UnityCatalog: "https://ws.example.com", ClientID: "id", ClientSecret: "secret"}

func newClient(t *testing.T, opts ...Option) *Client {
	t.Helper()
	c, err := New(rightConfig, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The defaults are the vendor's where this package has the option; those of the producer are in options_test.go.
func TestDefaultsByValue(t *testing.T) {
	for name, opts := range map[string][]Option{
		"none":                  nil,
		"zeros":                 {Timeout(0), RefreshBuffer(0), UserAgent(""), TLS(nil), HTTP(nil), Headers(nil), Dial(nil)},
		"the defaults, written": {Timeout(15 * time.Second), RefreshBuffer(300 * time.Second)},
	} {
		c := newClient(t, opts...).cfg
		if c.timeout != 15*time.Second || c.refreshBuffer != 300*time.Second || c.userAgent != "" ||
			c.tls != nil || c.http != nil || c.headers != nil || c.dial == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestTableDefaultsByValue(t *testing.T) {
	for name, opts := range map[string][]TableOption{"none": nil, "zeros": {InFlight(0), PauseLimit(0)}} {
		s := newClient(t).Table("a.b.c", opts...)
		if s.fault != nil || s.cfg.inFlight != 1_000_000 || s.cfg.pauseLimit != math.MaxInt64 {
			t.Errorf("%s: %+v", name, s.cfg)
		}
	}
	l := newClient(t).Table("a.b.c").NewAppender(backend.Format{ContentType: "application/json"}).Limits()
	if l.RecordBytes != 10_420_224 || l.BatchBytes != 10_420_224 || l.InFlight != 1_000_000 {
		t.Errorf("%+v", l)
	}
}

func TestOptionsAreKept(t *testing.T) {
	own, web := &tls.Config{ServerName: "x"}, &http.Client{}
	c := newClient(t, Timeout(time.Second), RefreshBuffer(time.Minute), UserAgent("me/1"), TLS(own), HTTP(web))
	if c := c.cfg; c.timeout != time.Second || c.refreshBuffer != time.Minute || c.userAgent != "me/1" ||
		c.tls == own || c.tls.ServerName != "x" || c.http != web {
		t.Errorf("%+v", c)
	}
	// The options of one Sink change no other.
	if one, other := c.Table("a.b.c", InFlight(7), PauseLimit(time.Second)).cfg, c.Table("a.b.c").cfg; one.inFlight != 7 ||
		one.pauseLimit != time.Second || other.inFlight != 1_000_000 {
		t.Errorf("%+v, %+v", one, other)
	}
}

func TestNewRefusesWrongOptions(t *testing.T) {
	for want, opt := range map[string]Option{
		"Timeout(-1ns)":       Timeout(-1),
		"RefreshBuffer(-1ns)": RefreshBuffer(-1),
		"UserAgent":           UserAgent("line\nend"),
		"an option is nil":    nil,
	} {
		if _, err := New(rightConfig, opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for want, opt := range map[string]TableOption{"InFlight(-1)": InFlight(-1), "PauseLimit(-1ns)": PauseLimit(-1), "an option is nil": nil} {
		_, err := newClient(t).Table("a.b.c", opt).NewAppender(backend.Format{ContentType: "application/json"}).Open(t.Context())
		if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestNewRefusesWrongConfigurations(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*Config)
		want error
		text string
	}{
		"no endpoint":                  {func(c *Config) { c.Endpoint = "" }, backend.ErrRejected, "Endpoint"},
		"an endpoint of ftp":           {func(c *Config) { c.Endpoint = "ftp://x" }, backend.ErrRejected, "Endpoint"},
		"a catalog without a scheme":   {func(c *Config) { c.UnityCatalog = "example.com" }, backend.ErrRejected, "UnityCatalog"},
		"no catalog":                   {func(c *Config) { c.UnityCatalog = "" }, backend.ErrRejected, "UnityCatalog"},
		"no id":                        {func(c *Config) { c.ClientID = "" }, backend.ErrUnauthorized, "ClientID"},
		"no secret":                    {func(c *Config) { c.ClientSecret = "" }, backend.ErrUnauthorized, "ClientSecret"},
		"the catalog in its place":     {func(c *Config) { c.UnityCatalog = c.Endpoint }, backend.ErrRejected, "swapped"},
		"nothing at all":               {func(c *Config) { *c = Config{} }, backend.ErrRejected, "Endpoint"},
		"a password in the endpoint":   {func(c *Config) { c.Endpoint = "https://u:hunter2@host" }, backend.ErrRejected, "credentials"},
		"plaintext to another machine": {func(c *Config) { c.Endpoint = "http://example.com" }, backend.ErrRejected, "https"},
	} {
		c := rightConfig
		test.edit(&c)
		_, err := New(c)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With Headers, a Config needs no identity.
	if _, err := New(Config{Endpoint: rightConfig.Endpoint}, Headers(HeadersFunc(nil))); err != nil {
		t.Error(err)
	}
}
