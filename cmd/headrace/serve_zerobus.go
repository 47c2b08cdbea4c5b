package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	zbserver "github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/observe"
)

// startZerobus serves Zerobus, and the OAuth endpoint where its clients get their tokens. The server keeps received
// rows in memory, or with --rows in a file. Tables are made at their first use, because a development server must not
// need a declaration for every table. A declared table has columns, and refuses rows that do not fit.
func startZerobus(c *serveCmd) (server, error) {
	config := zbserver.Config{CreateTables: true, OAuthAddr: c.OAuth}
	if c.OAuth == "" {
		config.OAuthAddr = "127.0.0.1:0"
	}
	if c.ZerobusClient != "" {
		// The id of a service principal has no colon, and its secret may have some: the first colon divides the two.
		id, secret, ok := strings.Cut(c.ZerobusClient, ":")
		// An empty half would mean any client to the server, and the user wanted just one.
		if !ok || id == "" || secret == "" {
			return nil, fmt.Errorf("%w: --zerobus-client must be ID:SECRET", errUsage)
		}
		config.ClientID, config.ClientSecret = id, secret
	}
	// A table is read before anything listens, so a wrong file leaves no server behind.
	for _, v := range c.Table {
		t, err := declared(v)
		if err != nil {
			return nil, fmt.Errorf("--table %s: %w", v, err)
		}
		config.Tables = append(config.Tables, t)
	}
	var rows *os.File
	if c.Rows != "" {
		var err error
		// Append, so that a restart keeps the rows of the last run. 0600, because rows may be personal data.
		if rows, err = os.OpenFile(c.Rows, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			return nil, err
		}
		// With a file, the rows need not stay in memory as well, and the server can run for days.
		config.RowLog, config.DiscardRows = rows, true
	}
	s, err := zbserver.New(config)
	if err == nil {
		if err = s.Start(c.Zerobus); err != nil {
			err = errors.Join(err, s.Close())
		}
	}
	// A server that did not start closes nothing.
	if err != nil && rows != nil {
		err = errors.Join(err, rows.Close())
	}
	if err != nil {
		return nil, err
	}
	return zerobusServer{s, rows, c.ZerobusClient}, nil
}

// declared reads the value of --table.
func declared(v string) (zbserver.Table, error) {
	name, path, ok := strings.Cut(v, "=")
	if !ok {
		return zbserver.Table{Name: name}, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return zbserver.Table{}, err
	}
	columns, err := zbserver.DescriptorColumns(b)
	return zbserver.Table{Name: name, Columns: columns}, err
}

type zerobusServer struct {
	*zbserver.Server
	rows   *os.File // nil without --rows
	client string   // id:secret, or "" for any
}

// Address names both endpoints: a client needs the second one for its tokens.
func (s zerobusServer) Address() string {
	return fmt.Sprintf("%s, OAuth on %s", s.URL(), s.OAuthURL())
}

// numbers has no appends, because Zerobus counts requests and rows, and its tables are the streams of the page.
func (s zerobusServer) numbers() observe.Server {
	n := s.Stats()
	return observe.Server{
		Calls: n.Calls, Open: n.Open, Streams: n.Tables, Records: n.Records, Bytes: n.Bytes, Faults: n.Faults,
	}
}

func (s zerobusServer) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx)
	// Behind the Shutdown: a request on its way may still write its rows.
	if s.rows != nil {
		err = errors.Join(err, s.rows.Close())
	}
	return err
}

// zerobusHint is the line for a shell. Without --zerobus-client the server takes any id and secret, but a client must
// send some.
func zerobusHint(s server) string {
	z := s.(zerobusServer)
	id, secret, ok := strings.Cut(z.client, ":")
	if !ok {
		id, secret = "any", "any"
	}
	return fmt.Sprintf("  export ZEROBUS_ENDPOINT=%s ZEROBUS_WORKSPACE_URL=%s ZEROBUS_CLIENT_ID=%s ZEROBUS_CLIENT_SECRET=%s",
		z.URL(), z.OAuthURL(), id, secret)
}
