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

// eventBytes is how many bytes of data before a control event a reader holds. The protocol has no limit for one event, so a
// reader asks again without SSE for more data than eventBytes, and reads the response piece by piece.
const eventBytes = 4 << 20

// events is one SSE connection.
type events struct {
	body   io.ReadCloser
	cancel context.CancelFunc
	since  time.Time
	base64 bool // data events are base64

	in          *httpwire.EventReader
	data        []byte // from data events without a control event behind them
	controlSeen bool   // a control event has come
}

// close gives up the connection.
func (e *events) close() {
	e.cancel()
	_ = e.body.Close()
}

// A control is the content of a control event.
type control struct {
	Next     string `json:"streamNextOffset"`
	Cursor   string `json:"streamCursor"`
	UpToDate bool   `json:"upToDate"`
	Closed   bool   `json:"streamClosed"`
}

// next reads up to a control event, and collects in e.data the content of the data events before. Each data event is an array,
// a text or a base64 text of its own. next returns io.EOF only at the end of the connection; an event that is cut off there
// does not count.
func (e *events) next() (c control, err error) {
	for {
		// The room shrinks with each data event, so the sum before a control event is bounded too.
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
				return c, protocolErrorf("a data event is not base64")
			}
		// Other events are ignored: the protocol allows servers to add some.
		case "control":
			if len(event.Data) > maxControls || json.Unmarshal(event.Data, &c) != nil {
				return c, protocolErrorf("a control event of %d bytes is not the JSON object of the protocol", len(event.Data))
			}
			return c, nil
		}
	}
}
