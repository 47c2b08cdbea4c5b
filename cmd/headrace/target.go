package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A target is a stream named by a URL. A nil field means: the store cannot do this operation, and can makes the error.
// Commands look at the fields and know no store. So a new kind of store needs only a new function to fill in a target.
// The functions close over the store's own stream, so a target needs no type for each store.
type target struct {
	name   string // the URL without secrets
	sink   backend.Sink
	source backend.Source

	contentType string // the default, for a store that refuses bytes of an unknown kind

	streams     func(ctx context.Context) ([]string, error) // nil: the store itself reports a missing stream
	create      func(ctx context.Context, contentType string) error
	createBasin func(ctx context.Context) error

	head   func(ctx context.Context) ([]fact, error)
	seal   func(ctx context.Context) error
	trim   func(ctx context.Context, before backend.Offset) error
	remove func(ctx context.Context) error

	close func() error
}

// opening returns the create of a store whose streams come into being when an appender opens them for the first time.
// The session is closed without a record: only the opening matters.
func opening(s backend.Sink) func(context.Context, string) error {
	return func(ctx context.Context, contentType string) error {
		session, err := s.NewAppender(backend.Format{ContentType: contentType}).Open(ctx)
		if err != nil {
			return err
		}
		return session.Close()
	}
}

// A fact is a line of head. The value is text, because the facts of the stores have nothing in common but to be read.
type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// schemes say how to open a URL. A new kind of store is added here.
var schemes = map[string]func(ctx context.Context, u *url.URL, t *target) error{
	"bolt":       openBolt,
	"s2":         openS2,
	"ds+http":    openDurableStreams,
	"ds+https":   openDurableStreams,
	"postgres":   openPostgres,
	"postgresql": openPostgres,
	"zerobus":    openZerobus,
	"mem":        openMemory,
}

// openTarget opens the stream of a URL. The caller closes the target.
//
// Opening does not ask the store: a file is opened, and a client of a server is made without a connection. readable and
// writable ask, because a command knows best what it needs.
func openTarget(ctx context.Context, address string) (*target, error) {
	u, err := url.Parse(address)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // the outer error holds the whole URL, with its password
		}
		return nil, fmt.Errorf("%w: the URL of a stream: %w", errUsage, err)
	}
	// The scheme alone decides. Nothing of the store is looked at before, so a mistyped scheme costs no time-out.
	open, ok := schemes[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("%w: %q is not the URL of a stream: it must begin with bolt:, s2:, ds+http:, ds+https:, postgres:, zerobus: or mem: (see headrace --help)", errUsage, redacted(u))
	}
	t := &target{name: redacted(u), close: func() error { return nil }}
	if err := open(ctx, u, t); err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return t, nil
}

// redacted returns a URL without its password and without the values of parameters other than the name of the stream.
// The name of a target goes to errors, to the key of a copy and to the screen, and none of them may hold a password or
// a token. Parameters are left out as a whole, because a database takes its password there too.
func redacted(u *url.URL) string {
	c := *u
	if c.User != nil {
		c.User = url.User(c.User.Username())
	}
	c.RawQuery, c.Fragment = "", ""
	if stream := u.Query().Get("stream"); stream != "" {
		c.RawQuery = url.Values{"stream": {stream}}.Encode()
	}
	return c.String()
}

// streamOf returns the parameter stream of a URL, which some stores need. The path of such a URL is taken: it names the
// file or the database.
func streamOf(u *url.URL) (string, error) {
	name := u.Query().Get("stream")
	if name == "" {
		return "", fmt.Errorf("%w: the URL has no stream: add ?stream=NAME", errUsage)
	}
	return name, nil
}

// writable and readable return an error where a store cannot do what a command needs, or does not answer. A command
// calls them first, so that its first error is about the store and not about its own work.
func (t *target) writable(ctx context.Context) error {
	if err := t.can("written", t.sink != nil); err != nil {
		return err
	}
	return t.reach(ctx)
}

func (t *target) readable(ctx context.Context) error {
	if err := t.can("read", t.source != nil); err != nil {
		return err
	}
	return t.reach(ctx)
}

// can returns an error where a store cannot do something. The error wraps ErrUnsupported, which no retry can help.
func (t *target) can(what string, ok bool) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s cannot be %s: %w", t.name, what, backend.ErrUnsupported)
}

// existingFile returns an error when a URL of a bolt, sqlite or checkpoint file names a missing file. A command that
// only reads must not make a file for a mistyped URL: the user would see an empty stream and no error. Other stores are
// asked by reach, because only the store knows whether the stream exists.
func existingFile(u *url.URL) error {
	path := u.Opaque + u.Path
	if path == "" || u.Scheme != "bolt" && u.Scheme != "sqlite" && u.Scheme != "file" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w: there is no file %s", redacted(u), backend.ErrNotFound, path)
	}
	return nil
}

// existingStream is existingFile for the URL of a stream. Mistakes in the URL are left to openTarget, because
// openTarget explains mistakes better. A table of Zerobus is refused here: opening it needs variables of the
// environment, and a user who has set them would learn only then that nothing can be read.
func existingStream(address string) error {
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "zerobus" {
		return fmt.Errorf("%s can only be written, by produce or copy: %w", redacted(u), backend.ErrUnsupported)
	}
	if err != nil || u.Query().Get("stream") == "" {
		return nil
	}
	return existingFile(u)
}

// exists returns an error if the store has no stream of the name in the URL. Readers of such a stream see an empty stream
// in bolt and PostgreSQL, because these stores make a stream with its first append. In the tool a name without a stream is
// a typing mistake, so the error lists the names that there are.
func (t *target) exists(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || t.streams == nil {
		return nil
	}
	name := u.Query().Get("stream")
	names, err := t.streams(ctx)
	if err != nil || slices.Contains(names, name) {
		return err
	}
	have := "none"
	if len(names) > 0 {
		have = strings.Join(names[:min(len(names), 10)], ", ")
	}
	if len(names) > 10 {
		have += fmt.Sprintf(" and %d more", len(names)-10)
	}
	return fmt.Errorf("%w: no stream %q; there is %s", backend.ErrNotFound, name, have)
}
