package zerobus

import (
	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// A Sink is a table. Any number of producers may write to it, each over streams of its own. A table cannot be read back:
// a Sink is no [backend.Source].
type Sink struct {
	client *Client
	table  string
	cfg    tableConfig
	fault  error // a wrong name or option
}

var _ backend.Sink = (*Sink)(nil)

// Name returns the full name of the table.
func (s *Sink) Name() string { return s.table }

// String names the endpoint and the table.
func (s *Sink) String() string { return s.client.name + "/" + s.table }

// NewAppender makes a producer's way in. The opening of a stream refuses a format that no table takes.
func (s *Sink) NewAppender(f backend.Format) backend.Appender {
	d := s.newDialer(f)
	return appender{Appender: backend.Pipelined(s.label(), d), kind: d.kind}
}

// label begins the errors about the table.
func (s *Sink) label() string { return "zerobus: " + httpwire.Clip(s.table) }

// An appender adds the meter to the appender of [backend.Pipelined]. Pipelined itself gets limits without the meter: a
// producer has already called the meter for every record, and the meter looks at each byte of JSON.
type appender struct {
	backend.Appender
	kind recordType
}

// Limits are the service's for a request. The bytes around the records do not count: see batchRecords.
func (a appender) Limits() backend.Limits {
	l := a.Appender.Limits()
	l.Size = a.kind.size
	return l
}
