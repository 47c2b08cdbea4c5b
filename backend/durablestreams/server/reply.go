package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/headrace/headrace/internal/calls"
)

// A reply is the ResponseWriter of one request. Faults strike here.
type reply struct {
	calls.Response
	handler *handler
	request *http.Request
	op      Op
	stream  string // "" until the name is known

	statusDecided bool // a status was written, or a fault has replaced the answer
	replaced      bool // a fault has sent another answer in place of this answer
	cutting       bool // the connection breaks when bytesLeft is used up
	bytesLeft     int  // bytes of the body
}

// strike applies the fault of this moment, if there is a fault. It returns the reason for refusing the request, or nil.
func (x *reply) strike(at Stage) error {
	// A preflight has no class, and no fault strikes it.
	if x.op == 0 {
		return nil
	}
	if e, struck := x.handler.faults.Strike(x.op, x.stream, at); struck {
		return e.do(x)
	}
	return nil
}

// received is called when the whole body of a request has arrived.
func received(w http.ResponseWriter) error { return w.(*reply).strike(Received) }

// WriteHeader implements [http.ResponseWriter].
func (x *reply) WriteHeader(status int) {
	// Only a success is replaced. A fault at Replying means that the change was made and the answer is lost, and a
	// refusal has changed nothing.
	if !x.statusDecided && status < http.StatusBadRequest {
		x.statusDecided = true
		if err := x.strike(Replying); err != nil {
			// From now on Write drops the bytes of the handler, which knows nothing of the fault.
			x.replaced = true
			clear(x.Header())
			x.handler.refuse(&x.Response, x.request, x.stream, err)
			return
		}
	}
	x.Response.WriteHeader(status)
}

var errReplaced = errors.New("server: the answer was replaced by a fault")

// Write implements [http.ResponseWriter].
func (x *reply) Write(p []byte) (int, error) {
	switch {
	case x.replaced && x.op == EventRead:
		return 0, errReplaced // without an error, follow would go on sending events
	case x.replaced:
		return len(p), nil
	// The bytes before the cut must reach the client, so they are flushed before the connection breaks. Otherwise the
	// client would see an empty answer, and not half an answer.
	case x.cutting && len(p) >= x.bytesLeft:
		_, _ = x.ResponseWriter.Write(p[:x.bytesLeft])
		_ = http.NewResponseController(x.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	case x.cutting:
		x.bytesLeft -= len(p)
	}
	return x.ResponseWriter.Write(p)
}

// pause waits for d. If the client gives up or the server is closed first, nobody wants the answer any more, so pause
// breaks the connection.
func (x *reply) pause(d time.Duration) {
	ctx, leave := x.handler.waitContext(x.request, d)
	defer leave()
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		panic(http.ErrAbortHandler)
	}
}
