// Tcpstore shows how to make a backend for a new store. sink.go is a complete sink on top of backend.Pipelined, and
// source.go is a complete source. The test runs the conformance suite on both. server.go is the store: a stream in
// memory behind a TCP port.
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

// run sends the numbers below n through a store and adds up the numbers that come back.
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
	if err := p.Close(); err != nil { // waits until all numbers are stored
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
