package bolt_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// Typed records go into a file, and come out of it after it was closed and opened again.
func Example() {
	dir, err := os.MkdirTemp("", "headrace")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "streams.db")
	ctx := context.Background()

	write := func() error {
		db, err := bolt.Open(path)
		if err != nil {
			return err
		}
		defer db.Close()
		p, err := producer.New(ctx, db.Stream("greetings"), codec.String())
		if err != nil {
			return err
		}
		defer p.Close()
		return p.Send(ctx, "hello", "world") // on disk when it returns
	}
	read := func() error {
		db, err := bolt.Open(path)
		if err != nil {
			return err
		}
		defer db.Close()
		c, err := consumer.New(db.Stream("greetings"), codec.String(), consumer.StopAtTail())
		if err != nil {
			return err
		}
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
			fmt.Println(m.Value)
		}
		return nil
	}
	if err := write(); err != nil {
		log.Fatal(err)
	}
	if err := read(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello
	// world
}

func ExampleStream_Trim() {
	dir, err := os.MkdirTemp("", "headrace")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	stream := db.Stream("letters")
	p, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(ctx, "a", "b", "c"); err != nil {
		log.Fatal(err)
	}

	fmt.Println(stream.Trim(ctx, "2")) // keeps from c on
	_, err = stream.OpenReader(ctx, "0")
	fmt.Println(err)
	r, err := stream.OpenReader(ctx, backend.Earliest)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	batch, err := r.Read(ctx)
	fmt.Printf("%s, %v\n", batch.Records[0].Value, err)
	// Output:
	// <nil>
	// bolt: stream "letters": open reader: offset 0 is trimmed, the first record kept is 2: offset out of range
	// c, <nil>
}
