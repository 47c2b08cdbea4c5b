package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/examples/internal/airpb"
	"github.com/headrace/headrace/producer"
)

// source holds the streams of the pipe.
type source struct{ readings, letters *durablestreams.Stream }

// streams opens the streams on the server of the environment. Without a server in the environment, streams starts a
// server in this process, with its data in a file.
func streams(ctx context.Context, dir string) (_ source, shut func() error, err error) {
	url, stop := os.Getenv("DURABLE_STREAMS_URL"), func() error { return nil }
	if url == "" {
		if url, stop, err = serve(dir); err != nil {
			return source{}, nil, err
		}
	}
	client, err := durablestreams.New(url)
	if err != nil {
		return source{}, nil, errors.Join(err, stop())
	}
	shut = func() error {
		client.Close()
		return stop()
	}
	s := source{client.Stream("readings"), client.Stream("dead-letters")}
	for stream, format := range map[*durablestreams.Stream]codec.Format{
		s.readings: protobuf.Codec[*airpb.Reading]().Format(),
		s.letters:  codec.JSON[consumer.DeadLetter]().Format(),
	} {
		if _, err := stream.Create(ctx, format.ContentType); err != nil { // does nothing if the stream exists
			return source{}, nil, errors.Join(err, shut())
		}
	}
	return s, shut, nil
}

// serve starts a server. The server acknowledges a record after the record is on the disk, so a kill loses nothing.
func serve(dir string) (url string, stop func() error, err error) {
	srv, err := server.New(server.Config{Data: filepath.Join(dir, "streams.db"), Path: server.Prefix("/v1/stream/")})
	if err != nil {
		return "", nil, err
	}
	if err := srv.Start("127.0.0.1:0"); err != nil {
		return "", nil, errors.Join(err, srv.Close())
	}
	return srv.URL() + "/v1/stream", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return srv.Shutdown(ctx)
	}, nil
}

// fill appends the readings that the stream does not have yet. The codec here does not validate, because other programs
// may not validate either: every hundredth reading has no station.
func fill(ctx context.Context, stream backend.Stream, n int64) error {
	c := protobuf.Codec[*airpb.Reading]()
	all, err := consumer.New(stream, c, consumer.StopAtTail())
	if err != nil {
		return err
	}
	next := int64(0)
	for m, err := range all.Messages(ctx) {
		if err != nil {
			return err
		}
		next = m.Value.GetNumber() + 1
	}
	p, err := producer.New(ctx, stream, c)
	if err != nil {
		return err
	}
	for ; next < n; next++ {
		station, at, pm25, number := fmt.Sprintf("station-%02d", next%20), time.Now().UnixMicro(), float64(next%350)/10, next
		if invalid(number) {
			station = ""
		}
		if _, err := p.Enqueue(ctx, &airpb.Reading{Station: &station, TakenUs: &at, Pm25: &pm25, Number: &number}); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}

func invalid(number int64) bool { return number%100 == 99 }
