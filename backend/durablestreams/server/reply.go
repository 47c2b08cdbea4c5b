package server

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// A reply is the ResponseWriter of one request. It is where faults strike.
type reply struct {
	http.ResponseWriter
	handler *handler
	request *http.Request
	op      Op
	stream  string // "" until it is known

	begun    bool // the status was decided
	replaced bool // a fault has sent another answer in place of this one
	cut      bool // the connection breaks when room is used up
	room     int  // bytes of the body
}

// Unwrap lets an http.ResponseController find the real ResponseWriter.
func (x *reply) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// strike does what goes wrong at this moment, and returns why the request is refused, if it is.
func (x *reply) strike(at Stage) error {
	if x.op == 0 {
		return nil
	}
	if e, struck := x.handler.faults.Strike(x.op, x.stream, at); struck {
		return e.do(x)
	}
	return nil
}

// received is called when the body of a request is there whole.
func received(w http.ResponseWriter) error { return w.(*reply).strike(Received) }

// WriteHeader implements [http.ResponseWriter].
func (x *reply) WriteHeader(status int) {
	if !x.begun && status < http.StatusBadRequest {
		x.begun = true
		if err := x.strike(Replying); err != nil {
			x.replaced = true
			clear(x.Header())
			x.handler.refuse(x.ResponseWriter, err)
			return
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

var errReplaced = errors.New("server: the answer was replaced by a fault")

// Write implements [http.ResponseWriter].
func (x *reply) Write(p []byte) (int, error) {
	switch {
	case x.replaced && x.op == EventRead:
		return 0, errReplaced // without an error the events would go on
	case x.replaced:
		return len(p), nil
	case x.cut && len(p) >= x.room:
		_, _ = x.ResponseWriter.Write(p[:x.room])
		_ = http.NewResponseController(x.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	case x.cut:
		x.room -= len(p)
	}
	return x.ResponseWriter.Write(p)
}

// pause waits for d. If the client gives up or the server is closed first, nobody wants the answer any more, and the
// connection is broken.
func (x *reply) pause(d time.Duration) {
	ctx, leave := x.handler.waiting(x.request, d)
	defer leave()
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		panic(http.ErrAbortHandler)
	}
}
