package backendtest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
)

func record(v string) []backend.Record { return []backend.Record{{Value: []byte(v)}} }

// The connection is lost after the store took the second batch. Whoever sends it again gets it stored twice: a producer's
// tests show with this what their program makes of it.
func ExampleFlakySink() {
	ctx := context.Background()
	stream := memory.New()
	sink := backendtest.NewFlakySink(stream, backendtest.Nth(backendtest.OnSend, 2, backendtest.DropAfter(nil)))

	appender := sink.NewAppender(backend.Format{})
	session, _ := appender.Open(ctx)
	session.Send(ctx, 0, record("a"))
	session.Send(ctx, 1, record("b"))
	ack, err := session.Recv(ctx)
	fmt.Println("acknowledged batch", ack.Seq, err)
	_, err = session.Recv(ctx)
	fmt.Println("may be stored:", errors.Is(err, backend.ErrIndeterminate), "made up:", errors.Is(err, backendtest.ErrInjected))
	session.Close()

	session, _ = appender.Open(ctx)
	session.Send(ctx, 1, record("b"))
	ack, err = session.Recv(ctx)
	fmt.Println("acknowledged batch", ack.Seq, err)
	session.Close()

	for _, r := range stream.Records() {
		fmt.Print(string(r.Value), " ")
	}
	fmt.Println(sink.Injected(), sink.Calls(backendtest.OnSend), "sends")
	// Output:
	// acknowledged batch 0 <nil>
	// may be stored: true made up: true
	// acknowledged batch 1 <nil>
	// a b b map[DropAfter:1] 3 sends
}

// A store that knows a resend by its seq, sessions that end every minute, and a record that is never taken.
func ExampleNewFlakySink() {
	bad := func(r *backend.Record) bool { return string(r.Value) == "bad" }
	sink := backendtest.NewFlakySink(memory.New(),
		backendtest.Every(backendtest.OnOpen, 1, backendtest.Lifetime(time.Minute, nil)),
		backendtest.RefuseNamed(bad, backend.ErrRejected),
		backendtest.Random(1, 0.05),
	)
	sink.Dedup = true

	ctx := context.Background()
	session, _ := sink.NewAppender(backend.Format{}).Open(ctx)
	defer session.Close()
	session.Send(ctx, 0, []backend.Record{{Value: []byte("good")}, {Value: []byte("bad")}})
	_, err := session.Recv(ctx)
	var culprit *backend.RecordError
	fmt.Println(errors.As(err, &culprit), culprit.Index)
	// Output: true 1
}

// A response is cut in its midst. A consumer goes on at the Next of what it got.
func ExampleFlakySource() {
	ctx := context.Background()
	stream := memory.New()
	session, _ := stream.NewAppender(backend.Format{}).Open(ctx)
	session.Send(ctx, 0, []backend.Record{{Value: []byte("a")}, {Value: []byte("b")}, {Value: []byte("c")}})
	session.Recv(ctx)
	session.Close()

	source := backendtest.NewFlakySource(stream, backendtest.Nth(backendtest.OnRead, 1, backendtest.Truncate(2)))
	at := backend.Earliest
	for caughtUp := false; !caughtUp; {
		reader, _ := source.OpenReader(ctx, at)
		for !caughtUp {
			batch, err := reader.Read(ctx)
			if err != nil {
				fmt.Println("try again:", errors.Is(err, backend.ErrTransient))
				break
			}
			for _, r := range batch.Records {
				fmt.Println(string(r.Value))
			}
			at, caughtUp = batch.Next, batch.CaughtUp
		}
		reader.Close()
	}
	// Output:
	// a
	// b
	// try again: true
	// c
}

// A Fault is a func, so a test can decide anything, wait for anything, and change its mind.
func ExampleFault() {
	var down bool // a test with goroutines guards it
	sink := backendtest.NewFlakySink(memory.New(), func(c backendtest.Call) backendtest.Effect {
		if down && c.Op == backendtest.OnOpen {
			return backendtest.Fail(backend.ErrUnauthorized)
		}
		return backendtest.Effect{}
	})
	appender := sink.NewAppender(backend.Format{})
	for _, down = range []bool{true, false} {
		session, err := appender.Open(context.Background())
		fmt.Println(errors.Is(err, backend.ErrUnauthorized))
		if err == nil {
			session.Close()
		}
	}
	// Output:
	// true
	// false
}
