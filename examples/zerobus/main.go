// Zerobus writes typed air-quality readings to a table of a Databricks workspace, first as JSON and then as protobuf.
// With protobuf, the service gets the descriptor from the message type. If the environment names no workspace, the
// program runs a service in this process.
//
// ZEROBUS_ENDPOINT, ZEROBUS_WORKSPACE_URL, ZEROBUS_CLIENT_ID and ZEROBUS_CLIENT_SECRET name a workspace, and ZEROBUS_TABLE names
// the table. "headrace serve" prints the first four for its own service. Make the table with
//
//	CREATE TABLE main.air.readings (station STRING NOT NULL, taken_us TIMESTAMP NOT NULL, pm25 DOUBLE, number BIGINT)
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/examples/internal/airpb"
	"github.com/headrace/headrace/producer"
)

// A Reading is a row in JSON. The keys are the names of the columns.
type Reading struct {
	Station string  `json:"station"`
	TakenUS int64   `json:"taken_us"` // a TIMESTAMP is the number of microseconds since 1970
	PM25    float64 `json:"pm25"`
	Number  int64   `json:"number"`
}

func main() {
	log.SetFlags(0)
	n := flag.Int("readings", 100_000, "how many readings to write in each format")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *n); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, n int) (err error) {
	table := cmp.Or(os.Getenv("ZEROBUS_TABLE"), "main.air.readings")
	var c zerobus.Config
	if os.Getenv("ZEROBUS_ENDPOINT") != "" {
		if c, err = zerobus.Environment(); err != nil {
			return err
		}
	} else {
		// The table has the columns of the message. Like a real table, it refuses rows with other columns.
		columns := server.Columns((*airpb.Reading)(nil).ProtoReflect().Descriptor())
		srv, err := server.New(server.Config{Tables: []server.Table{{Name: table, Columns: columns}}})
		if err != nil {
			return err
		}
		defer func() {
			fmt.Printf("%d rows are in %s\n", len(srv.Rows(table)), table)
			err = errors.Join(err, srv.Close())
		}()
		if err := srv.Start("127.0.0.1:0"); err != nil {
			return err
		}
		c = zerobus.Config{Endpoint: srv.URL(), UnityCatalog: srv.OAuthURL(), ClientID: "demo", ClientSecret: "demo"}
	}
	client, err := zerobus.New(c, zerobus.UserAgent("headrace-example"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	sink := client.Table(table)

	if err := write(ctx, "JSON", sink, codec.JSON[Reading](), n, func(i int) Reading {
		return Reading{Station: station(i), TakenUS: time.Now().UnixMicro(), PM25: pm25(i), Number: int64(i)}
	}); err != nil {
		return err
	}
	return write(ctx, "protobuf", sink, protobuf.Codec[*airpb.Reading](protobuf.Validate()), n, func(i int) *airpb.Reading {
		at, v, number, s := time.Now().UnixMicro(), pm25(i), int64(i), station(i)
		return &airpb.Reading{Station: &s, TakenUs: &at, Pm25: &v, Number: &number}
	})
}

// write is the same for every type and every backend. Only the codec and the sink differ.
func write[T any](ctx context.Context, name string, sink backend.Sink, c codec.Codec[T], n int, reading func(int) T) error {
	p, err := producer.New(ctx, sink, c)
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range n {
		if _, err := p.Enqueue(ctx, reading(i)); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	if err := p.Close(); err != nil { // if Close returns nil, every row is durable
		return err
	}
	took := time.Since(began)
	fmt.Printf("%-8s  %d readings durable in %v, %.0f a second\n", name, n, took.Round(time.Millisecond), float64(n)/took.Seconds())
	return nil
}

func station(i int) string { return fmt.Sprintf("station-%02d", i%20) }

func pm25(i int) float64 { return float64(i%350) / 10 }
