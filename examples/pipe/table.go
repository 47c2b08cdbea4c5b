package main

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/examples/internal/airpb"
)

// table opens the table of the environment. Without a table in the environment, table starts a service in this process,
// and the service writes its rows as lines to rows.ndjson.
func table(dir string) (sink backend.Sink, shut func() error, err error) {
	name := cmp.Or(os.Getenv("ZEROBUS_TABLE"), "main.air.readings")
	if os.Getenv("ZEROBUS_ENDPOINT") != "" {
		cfg, err := zerobus.Environment()
		if err != nil {
			return nil, nil, err
		}
		client, err := zerobus.New(cfg)
		if err != nil {
			return nil, nil, err
		}
		return client.Table(name), client.Close, nil
	}
	rows, err := os.OpenFile(filepath.Join(dir, "rows.ndjson"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, err
	}
	// A kill may have cut the last line short. We end the cut line; otherwise the next row would become part of the cut
	// line.
	if at, err := rows.Seek(0, io.SeekEnd); err == nil && at > 0 {
		if _, err := rows.WriteString("\n"); err != nil {
			return nil, nil, errors.Join(err, rows.Close())
		}
	}
	columns := server.Columns((*airpb.Reading)(nil).ProtoReflect().Descriptor())
	srv, err := server.New(server.Config{Tables: []server.Table{{Name: name, Columns: columns}}, RowLog: rows, DiscardRows: true})
	if err == nil {
		err = srv.Start("127.0.0.1:0")
	}
	if err != nil {
		return nil, nil, errors.Join(err, rows.Close())
	}
	client, err := zerobus.New(zerobus.Config{Endpoint: srv.URL(), UnityCatalog: srv.OAuthURL(), ClientID: "demo", ClientSecret: "demo"})
	if err != nil {
		return nil, nil, errors.Join(err, srv.Close(), rows.Close())
	}
	return client.Table(name), func() error { return errors.Join(client.Close(), srv.Close(), rows.Close()) }, nil
}
