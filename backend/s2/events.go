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

// eventLimit bounds an event: a batch of 1 MiB, of which headers of a byte take four times as much in base64 and brackets,
// with a JSON record around each piece.
const eventLimit = 5 << 20

// events are the batches of a session of server-sent events.
type events struct {
	secrets func() redact.Secrets
	in      *httpwire.EventReader
}

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
			if ping.Tail != nil { // older servers do not say
				b.Tail, b.HasTail = wire.Position(*ping.Tail), true
			}
			return b, false, nil
		case "error":
			return b, false, e.refusal(data)
		case "":
			if string(data) == "[DONE]" {
				return b, false, io.EOF
			}
		}
	}
}

// refusal reads the data of an error event, which comes without a status: its code has one.
func (e *events) refusal(data []byte) error {
	err := parseError(http.StatusServiceUnavailable, data, e.secrets()) // worth another try when nothing is known of it
	if v, ok := verdicts[err.Code]; ok {
		err.Status = v.status
	}
	return err
}
