package s2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// eventLimit is the largest event we read. A batch of 1 MiB of one-byte headers takes four times as many bytes in base64 with
// JSON around, and a bit more for the records.
const eventLimit = 5 << 20

// events is the source of a session of server-sent events: each event holds a batch.
type events struct {
	secrets func() redact.Secrets
	in      *httpwire.EventReader
}

// next returns the batch of the next event. Server-sent events have no advice to reconnect.
func (e *events) next() (b wire.Batch, _ bool, err error) {
	for {
		event, err := e.in.Next(eventLimit)
		if errors.Is(err, httpwire.ErrLargeEvent) {
			err = &ProtocolError{err}
		}
		if err != nil {
			return b, false, err
		}
		name, data := event.Name, event.Data
		switch name {
		case "batch":
			b, err = batchJSON(data)
			if err != nil {
				return b, false, &ProtocolError{fmt.Errorf("event %s: %w", name, err)}
			}
			return b, false, nil
		case "ping":
			var ping struct {
				Tail *Position `json:"tail"`
			}
			if err := json.Unmarshal(data, &ping); err != nil {
				return b, false, &ProtocolError{fmt.Errorf("event %s: %w", name, err)}
			}
			if ping.Tail != nil { // older servers leave the tail out
				b.Tail, b.HasTail = wire.Position(*ping.Tail), true
			}
			return b, false, nil
		case "error":
			return b, false, e.refusal(data)
		case "":
			// The server marks a clean end. Other data without a name, and events with an unknown name, are skipped: a newer
			// server may send them.
			if string(data) == "[DONE]" {
				return b, false, io.EOF
			}
		}
	}
}

// refusal reads the data of an error event. The event has no status, so the status of the code is taken. An unknown code
// counts as 503: a second attempt may succeed.
func (e *events) refusal(data []byte) error {
	err := parseError(http.StatusServiceUnavailable, data, e.secrets())
	if v, ok := verdicts[err.Code]; ok {
		err.Status = v.status
	}
	return err
}
