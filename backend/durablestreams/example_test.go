package durablestreams_test

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

func Example() {
	ctx := context.Background()
	srv, err := durablestreamstest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	client, err := durablestreams.New(srv.URL() + "/v1/stream")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	words := client.Stream("words")
	if _, err := words.Create(ctx, "application/json"); err != nil {
		fmt.Println(err)
		return
	}

	p, err := producer.New(ctx, words, codec.JSON[string]())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Send(ctx, "hello", "world"); err != nil {
		fmt.Println(err)
	}
	if err := p.Close(); err != nil {
		fmt.Println(err)
	}
	if err := words.Seal(ctx); err != nil {
		fmt.Println(err)
	}

	c, err := consumer.New(words, codec.JSON[string](), consumer.StartAt("@earliest"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m.Value)
	}
	// Output:
	// hello
	// world
}

// A stream of text that anybody writes, without Headrace's frames, followed to its end.
func ExampleStream_Raw() {
	ctx := context.Background()
	srv, err := durablestreamstest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	client, err := durablestreams.New(srv.URL() + "/v1/stream")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	log := client.Stream("log")
	if _, err := log.Create(ctx, "text/plain", durablestreams.Initial([]byte("started\n"))); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := log.SealWith(ctx, "text/plain", []byte("done\n")); err != nil {
		fmt.Println(err)
		return
	}

	c, err := consumer.New(log.Raw(), codec.String())
	if err != nil {
		fmt.Println(err)
		return
	}
	for m, err := range c.Messages(ctx) { // pieces of the text, cut anywhere
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(m.Value)
	}
	// Output:
	// started
	// done
}
