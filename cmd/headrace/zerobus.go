package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// zerobusService serves Zerobus, and the OAuth endpoint where its clients get their tokens. It keeps received rows in
// memory. With --rows it writes them to a file instead.
func zerobusService() service {
	var oauth, client, rows string
	var tables []zerobustest.Option
	return service{
		name: "zerobus",
		flags: func(set *flag.FlagSet) *flags {
			f := new(flags)
			set.StringVar(&f.addr, "zerobus", "", "serve Zerobus on this `host:port`; port 0 picks a free one")
			set.StringVar(&oauth, "oauth", "127.0.0.1:0", "serve the OAuth endpoint of Zerobus on this `host:port`")
			set.StringVar(&client, "zerobus-client", "", "the `id:secret` that Zerobus clients must send (default: any)")
			set.StringVar(&rows, "rows", "", "append the rows that Zerobus stores to this `file`, as lines of JSON")
			set.Func("table", "declare a Zerobus table, `name[=file]`, with the columns of the serialized DescriptorProto in file; may be\n"+
				"repeated. Other tables are made at their first use", func(v string) error {
				t, err := declared(v)
				tables = append(tables, t)
				return err
			})
			return f
		},
		start: func(f *flags, _ string) (server, error) {
			opts := append([]zerobustest.Option{zerobustest.Addr(f.addr), zerobustest.OAuthAddr(oauth), zerobustest.CreateTables()}, tables...)
			if client != "" {
				id, secret, ok := strings.Cut(client, ":")
				if !ok || id == "" || secret == "" {
					return nil, errors.New("--zerobus-client must be id:secret")
				}
				opts = append(opts, zerobustest.Client(id, secret))
			}
			var file *os.File
			if rows != "" {
				var err error
				if file, err = os.OpenFile(rows, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
					return nil, err
				}
				opts = append(opts, zerobustest.RowLog(file), zerobustest.DiscardRows())
			}
			s, err := zerobustest.Start(opts...)
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

// declared reads the value of --table.
func declared(v string) (zerobustest.Option, error) {
	name, path, ok := strings.Cut(v, "=")
	if !ok {
		return zerobustest.Table(name), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	columns, err := zerobustest.DescriptorColumns(b)
	if err != nil {
		return nil, err
	}
	return zerobustest.Table(name, columns...), nil
}

type zerobusServer struct {
	*zerobustest.Server
	rows *os.File // nil without --rows
}

func (s zerobusServer) Address() string {
	return fmt.Sprintf("%s, OAuth on %s", s.Endpoint, s.UnityCatalogURL)
}

func (s zerobusServer) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx)
	if s.rows != nil {
		err = errors.Join(err, s.rows.Close())
	}
	return err
}
