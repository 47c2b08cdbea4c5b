package durablestreams

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// eventBytes is the most that is held of what precedes a control event. There is no limit to what a server may put into one
// event, so what is larger is asked for without SSE, where it can be read piece by piece.
const eventBytes = 4 << 20

// events is one SSE connection.
type events struct {
	body   io.ReadCloser
	cancel context.CancelFunc
	since  time.Time
	base64 bool // data events are

	in   *httpwire.EventReader
	data []byte // of the data events that no control event has followed yet
	some bool   // a control event has come
}

func (e *events) close() {
	e.cancel()
	_ = e.body.Close()
}

// control is what a control event says.
type control struct {
	Next     string `json:"streamNextOffset"`
	Cursor   string `json:"streamCursor"`
	UpToDate bool   `json:"upToDate"`
	Closed   bool   `json:"streamClosed"`
}

// next reads events up to a control event and collects in e.data what the data events before it hold: each is an array, a
// text or a base64 text of its own. It returns io.EOF only at the end of the connection. An event that is cut off there does
// not count.
func (e *events) next() (c control, err error) {
	for {
		event, err := e.in.Next(eventBytes - len(e.data))
		switch {
		case errors.Is(err, httpwire.ErrCutEvent):
			return c, io.EOF
		case errors.Is(err, httpwire.ErrLargeEvent):
			return c, fmt.Errorf("%w: %w", backend.ErrTooLarge, err)
		case err != nil:
			return c, err
		}
		switch event.Name {
		case "data":
			if !e.base64 {
				e.data = append(e.data, event.Data...)
			} else if e.data, err = base64.StdEncoding.AppendDecode(e.data, event.Data); err != nil {
				return c, protocolErrorf("an event that is not base64")
			}
		case "control":
			if len(event.Data) > maxControls || json.Unmarshal(event.Data, &c) != nil {
				return c, protocolErrorf("a control event")
			}
			return c, nil
		}
	}
}
