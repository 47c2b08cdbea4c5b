package main

import (
	"context"
	"io"
)

// An input is a reader that ends when ctx ends. A Read of standard input cannot be interrupted, and may wait for ever:
// for a terminal, or for a pipe without a writer. A goroutine waits in the Read instead, and hands over pieces.
type input struct {
	ctx    context.Context
	pieces chan piece
	rest   []byte
	err    error // behind rest
}

// A piece is the result of one Read.
type piece struct {
	bytes []byte
	err   error
}

// pieceBytes is the size of a Read, that of a pipe on Linux: a larger buffer is never filled.
const pieceBytes = 64 << 10

// newInput begins to read. When ctx ends during a Read, the goroutine ends with this Read. Until then one goroutine is
// left over; the process ends soon after ctx, and the goroutine with it.
func newInput(ctx context.Context, from io.Reader) *input {
	in := &input{ctx: ctx, pieces: make(chan piece)}
	go func() {
		for {
			// A buffer for each piece, because the reader may still use the last one.
			p := piece{bytes: make([]byte, pieceBytes)}
			n, err := from.Read(p.bytes)
			p.bytes, p.err = p.bytes[:n], err
			select {
			case in.pieces <- p:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return in
}

func (in *input) Read(b []byte) (int, error) {
	for len(in.rest) == 0 {
		if in.err != nil {
			return 0, in.err
		}
		select {
		case p := <-in.pieces:
			in.rest, in.err = p.bytes, p.err
		case <-in.ctx.Done():
			// The cause, because produce ends its context with the error of the producer, and the user must hear of
			// that error.
			in.err = context.Cause(in.ctx)
		}
	}
	n := copy(b, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}
