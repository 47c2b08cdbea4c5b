package zerobustest

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/headrace/headrace/backend/zerobus/server"
)

// Types of tables and reports, from package server.
type (
	// A Column is one column of a table.
	Column = server.Column
	// A Row is a stored record.
	Row = server.Row
	// Stats count everything since the server started.
	Stats = server.Stats
	// A Transcript lists the events of one stream.
	Transcript = server.Transcript
	// An Event is one occurrence on a stream.
	Event = server.Event
	// A TokenRequest is a request of the OAuth endpoint.
	TokenRequest = server.TokenRequest
	// An AckPolicy says when requests are acknowledged.
	AckPolicy = server.AckPolicy
)

// Kinds of events: see [server.EventKind].
const (
	Created    = server.Created
	Opened     = server.Opened
	Ingested   = server.Ingested
	Acked      = server.Acked
	Signalled  = server.Signalled
	Replied    = server.Replied
	HalfClosed = server.HalfClosed
	Ended      = server.Ended
)

// Columns returns the columns of a table for a message.
func Columns(md protoreflect.MessageDescriptor) []Column { return server.Columns(md) }

// AckEach acknowledges each request as soon as the request is stored.
func AckEach() AckPolicy { return server.AckEach() }

// AckEvery acknowledges every nth request. If fewer requests follow, it acknowledges them when the oldest has waited
// for d.
func AckEvery(n int, d time.Duration) AckPolicy { return server.AckEvery(n, d) }

// AckAfter acknowledges each request d after it was stored.
func AckAfter(d time.Duration) AckPolicy { return server.AckAfter(d) }

// AckNever acknowledges nothing, even when the client has sent everything.
func AckNever() AckPolicy { return server.AckNever() }
