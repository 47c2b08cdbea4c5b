package httpwire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// An Event is one event of a stream of server-sent events.
type Event struct {
	Name string // "" when the server does not name the event
	Data []byte // the lines of data with LF between them; valid until the next call of Next
}

var (
	// ErrCutEvent is the end of a stream within an event. ErrCutEvent wraps io.ErrUnexpectedEOF, which alone is a broken
	// transport.
	ErrCutEvent = fmt.Errorf("the stream ended within an event: %w", io.ErrUnexpectedEOF)

	// ErrLargeEvent is an event above the limit of the caller.
	ErrLargeEvent = errors.New("an event is too large")
)

// An EventReader reads server-sent events by the HTML standard: a line ends with CR, LF or both, and a byte order mark at the
// beginning does not count. The reader skips the fields id and retry, because the protocols of the stores put the next place into
// the data.
type EventReader struct {
	in      *bufio.Reader
	large   int    // size of the buffer from the first full buffer on
	started bool   // the first byte was seen
	afterCR bool   // the last line ended with a CR: an LF directly behind belongs to the CR
	long    []byte // the beginning of a line whose end was not buffered yet
	data    []byte
}

// NewEventReader reads events from r, up to 36 KiB ahead. Most connections wait for an event now and then, and a process may
// have thousands of them. So the buffer is small until it was full once.
func NewEventReader(r io.Reader) *EventReader { return newEventReader(r, 1<<10, 32<<10) }

func newEventReader(r io.Reader, small, large int) *EventReader {
	return &EventReader{in: bufio.NewReaderSize(r, small), large: large}
}

// Next returns the next event with data. The data of the event, and any single line, may have most bytes. For more, Next fails
// with [ErrLargeEvent], and holds no more than most bytes and the buffer of the reader in memory. At the end of the stream the
// error is io.EOF between two events, and [ErrCutEvent] within an event. Other errors come from the transport.
func (e *EventReader) Next(most int) (Event, error) {
	name, lines := "", 0
	e.data = e.data[:0]
	for {
		line, err := e.line(most - len(e.data))
		switch {
		case errors.Is(err, ErrLargeEvent):
			return Event{}, fmt.Errorf("%w: more than %d bytes", ErrLargeEvent, most)
		case err == io.EOF && (name != "" || lines > 0): // not errors.Is: a transport may wrap io.EOF in a failure
			return Event{}, ErrCutEvent
		case err != nil:
			return Event{}, err
		case len(line) == 0 && lines > 0:
			return Event{Name: name, Data: e.data}, nil
		case len(line) == 0:
			name = "" // by the standard, an event without data is dropped with its name
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":")) // a comment is a field without a name
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if lines++; lines > 1 {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
		}
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// line returns the next line without the line end, valid until the next call. line does not wait for an LF behind a CR, because
// the CR may be the last byte from the server for a while.
func (e *EventReader) line(most int) ([]byte, error) {
	e.long = e.long[:0]
	for {
		if _, err := e.in.Peek(1); err != nil {
			if err == io.EOF && len(e.long) > 0 {
				return nil, ErrCutEvent
			}
			return nil, err
		}
		if size := e.in.Size(); size < e.large && e.in.Buffered() == size {
			e.in = bufio.NewReaderSize(e.in, e.large) // reads past the small buffer when that is empty
			continue
		}
		if e.skip() {
			continue
		}
		b, _ := e.in.Peek(e.in.Buffered())
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b)
		}
		if cr := bytes.IndexByte(b[:end], '\r'); cr >= 0 {
			end = cr
		}
		if len(e.long)+end > most {
			return nil, ErrLargeEvent
		}
		if end == len(b) {
			e.long = append(e.long, b...)
			_, _ = e.in.Discard(end)
			continue
		}
		line := b[:end]
		e.afterCR = b[end] == '\r'
		_, _ = e.in.Discard(end + 1)
		if len(e.long) > 0 {
			e.long = append(e.long, line...)
			line = e.long
		}
		return line, nil
	}
}

// skip drops a byte order mark at the beginning of the stream, and an LF directly behind a CR. skip reports whether there was
// something to drop. At least one byte must be buffered.
func (e *EventReader) skip() bool {
	b, _ := e.in.Peek(1)
	drop := 0
	switch {
	case !e.started && b[0] == byteOrderMark[0]:
		if mark, _ := e.in.Peek(len(byteOrderMark)); bytes.Equal(mark, byteOrderMark) {
			drop = len(mark)
		}
	case e.afterCR && b[0] == '\n':
		drop = 1
	}
	e.started, e.afterCR = true, false
	_, _ = e.in.Discard(drop)
	return drop > 0
}
