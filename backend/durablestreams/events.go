package durablestreams

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/headrace/headrace/backend"
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

	in    *bufio.Reader
	begun bool   // the first byte was seen
	cr    bool   // the last line ended with a CR, to which an LF that follows belongs
	long  []byte // a line that in does not hold as a whole
	event []byte // the data field of the event being read
	data  []byte // of the data events that no control event has followed yet
	some  bool   // a control event has come
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
// text or a base64 text of its own. It returns io.EOF only at the end of the connection. An event that it does not reach the
// end of does not count.
func (e *events) next() (c control, err error) {
	name, lines := "", 0
	e.event = e.event[:0]
	for {
		line, err := e.line(eventBytes - len(e.event) - len(e.data))
		if err != nil {
			return c, err
		}
		if len(line) > 0 {
			field, value, _ := bytes.Cut(line, []byte(":")) // a comment is a field without a name
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(field) {
			case "event":
				name = string(value)
			case "data":
				if lines++; lines > 1 && !e.base64 {
					e.event = append(e.event, '\n')
				}
				e.event = append(e.event, value...)
			}
			continue
		}
		switch name {
		case "data":
			if !e.base64 {
				e.data = append(e.data, e.event...)
			} else if e.data, err = base64.StdEncoding.AppendDecode(e.data, e.event); err != nil {
				return c, malformed("an event that is not base64")
			}
		case "control":
			if len(e.event) > maxControls || json.Unmarshal(e.event, &c) != nil {
				return c, malformed("a control event")
			}
			return c, nil
		}
		name, lines, e.event = "", 0, e.event[:0]
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// line returns the next line without its end, which is CR, LF or both. It is good until the next call. Behind a CR it does
// not wait for the LF that may follow: the CR may be the last that the server sends for a while.
func (e *events) line(limit int) ([]byte, error) {
	e.long = e.long[:0]
	for {
		if _, err := e.in.Peek(1); err != nil {
			return nil, err
		}
		b, _ := e.in.Peek(e.in.Buffered())
		skip := 0
		if !e.begun {
			e.begun = true
			if b[0] == byteOrderMark[0] {
				if b, _ = e.in.Peek(len(byteOrderMark)); bytes.Equal(b, byteOrderMark) {
					skip = len(b)
				}
			}
		} else if e.cr && b[0] == '\n' {
			skip = 1
		}
		e.cr = false
		if skip > 0 {
			_, _ = e.in.Discard(skip)
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b)
		}
		if cr := bytes.IndexByte(b[:end], '\r'); cr >= 0 {
			end = cr
		}
		if len(e.long)+end > limit {
			return nil, fmt.Errorf("%w: an event of more than %d bytes", backend.ErrTooLarge, eventBytes)
		}
		if end == len(b) {
			e.long = append(e.long, b...)
			_, _ = e.in.Discard(end)
			continue
		}
		line := b[:end]
		e.cr = b[end] == '\r'
		_, _ = e.in.Discard(end + 1)
		if len(e.long) > 0 {
			e.long = append(e.long, line...)
			line = e.long
		}
		return line, nil
	}
}
