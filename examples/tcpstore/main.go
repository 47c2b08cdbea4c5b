// Tcpstore shows how a store of your own becomes a backend: sink.go is all that a sink needs on top of backend.Pipelined,
// source.go all that a source needs, and the test runs the conformance suite on both. The store itself is server.go, a
// stream in memory behind a TCP port.
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

func main() {
	log.SetFlags(0)
	total, err := run(context.Background(), 100_000)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("100000 numbers went over TCP and came back; their sum is %d\n", total)
}

// run sends the numbers below n through a store and adds up what comes back.
func run(ctx context.Context, n int) (total int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer serve(l).Close()
	numbers := store{addr: l.Addr().String()}

	p, err := producer.New(ctx, numbers, codec.JSON[int]())
	if err != nil {
		return 0, err
	}
	for i := range n {
		if _, err := p.Enqueue(ctx, i); err != nil {
			return 0, err
		}
	}
	if err := p.Close(); err != nil { // waits until all are stored
		return 0, err
	}
	c, err := consumer.New(numbers, codec.JSON[int](), consumer.StopAtTail())
	if err != nil {
		return 0, err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return 0, err
		}
		total += m.Value
	}
	return total, nil
}
