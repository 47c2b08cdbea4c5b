package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	zbserver "github.com/headrace/headrace/backend/zerobus/server"
)

// zerobusService serves Zerobus, and the OAuth endpoint where its clients get their tokens. It keeps received rows in
// memory. With --rows it writes them to a file instead.
func zerobusService() service {
	var client, rows string
	c := zbserver.Config{CreateTables: true}
	return service{
		name: "zerobus",
		flags: func(set *flag.FlagSet) *flags {
			f := new(flags)
			set.StringVar(&f.addr, "zerobus", "", "serve Zerobus on this `host:port`; port 0 picks a free one")
			set.StringVar(&c.OAuthAddr, "oauth", "127.0.0.1:0", "serve the OAuth endpoint of Zerobus on this `host:port`")
			set.StringVar(&client, "zerobus-client", "", "the `id:secret` that Zerobus clients must send (default: any)")
			set.StringVar(&rows, "rows", "", "append the rows that Zerobus stores to this `file`, as lines of JSON")
			set.Func("table", "declare a Zerobus table, `name[=file]`, with the columns of the serialized DescriptorProto in file; may be\n"+
				"repeated. Other tables are made at their first use", func(v string) error {
				t, err := declared(v)
				c.Tables = append(c.Tables, t)
				return err
			})
			return f
		},
		start: func(f *flags, _ string) (server, error) {
			if client != "" {
				id, secret, ok := strings.Cut(client, ":")
				if !ok || id == "" || secret == "" {
					return nil, errors.New("--zerobus-client must be id:secret")
				}
				c.ClientID, c.ClientSecret = id, secret
			}
			var file *os.File
			if rows != "" {
				var err error
				if file, err = os.OpenFile(rows, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
					return nil, err
				}
				c.RowLog, c.DiscardRows = file, true
			}
			s, err := startZerobus(c, f.addr)
			if err != nil {
				if file != nil {
					err = errors.Join(err, file.Close())
				}
				return nil, err
			}
			return zerobusServer{s, file}, nil
		},
	}
}

func startZerobus(c zbserver.Config, addr string) (*zbserver.Server, error) {
	s, err := zbserver.New(c)
	if err != nil {
		return nil, err
	}
	if err := s.Start(addr); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
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
	rows *os.File // nil without --rows
}

func (s zerobusServer) Address() string {
	return fmt.Sprintf("%s, OAuth on %s", s.URL(), s.OAuthURL())
}

func (s zerobusServer) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx)
	if s.rows != nil {
		err = errors.Join(err, s.rows.Close())
	}
	return err
}
