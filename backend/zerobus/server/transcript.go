package server

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/headrace/headrace/internal/calls"
)

// Transcripts are bounded, because a server may run for days. A transcript keeps the first events of its stream, and
// the server keeps the latest streams. The counters count everything.
const (
	keptEvents  = 4096
	keptStreams = 4096
)

// An EventKind says what happened on a stream.
type EventKind string

// What happens on a stream, from the server's side.
const (
	Created    EventKind = "create"     // the client asked for the stream
	Opened     EventKind = "open"       // the server confirmed the stream
	Ingested   EventKind = "ingest"     // a record or batch arrived
	Acked      EventKind = "ack"        // the server acknowledged
	Signalled  EventKind = "signal"     // the server asked the client to go
	Replied    EventKind = "reply"      // the server sent the reply of a fault
	HalfClosed EventKind = "half-close" // the client has sent everything
	Ended      EventKind = "end"        // the RPC has ended
)

// An Event is one occurrence on a stream.
type Event struct {
	Time     time.Time
	Kind     EventKind
	Offset   int64 // the wire offset of a request or ack, otherwise -1
	Records  int   // of a request
	Batch    bool  // of a request: the request is a batch
	Duration time.Duration
	Status   codes.Code // of the end
}

// A CreateRequest is the request with which a client created a stream.
type CreateRequest struct {
	Table      string
	RecordType string // PROTO or JSON, otherwise RecordType(n); RecordType(0) if the client did not say
	Descriptor []byte // a serialized google.protobuf.DescriptorProto; nil without a descriptor
}

// A Transcript lists the events of one stream. Streams are numbered from 0 in the order of their arrival. A Transcript
// is a copy: the server adds nothing to it any more.
type Transcript struct {
	Number int
	ID     string         // the stream id; "" if the client got no id
	Create *CreateRequest // nil if the client sent no create request
	Table  string         // from the request's header
	Peer   string         // the client's address and port; two streams with the same Peer share a TCP connection
	Header metadata.MD    // of the request
	Events []Event        // the first 4096
}

// A Call is a kind of call and how the call ended.
type Call = calls.Call

// Stats count everything since the server started.
type Stats struct {
	Calls map[Call]int64 // streams and requests for tokens that have ended
	Open  int64          // streams and requests for tokens that have not ended

	Connections int64 // TCP connections accepted by the gRPC endpoint
	Streams     int64 // RPCs
	Requests    int64 // records and batches that arrived, including refused ones
	Records     int64 // rows stored
	Bytes       int64 // of the rows stored
	Duplicates  int64 // rows with the same bytes as an earlier row (see [Config.CountDuplicates])
	Acks        int64
	MaxOffset   int64 // the largest wire offset that arrived; -1 before the first

	TokenRequests int64
	Tokens        int64 // issued

	Faults int64 // injected faults that struck
	Tables int   // that there are now
}

// A transcript records the life of a stream. The lock of all guards t.
type transcript struct {
	all *transcripts
	t   Transcript
}

// transcripts holds the counters and the transcripts of a server, under one lock: a test that reads both must not see
// an ack that is not counted. No other lock is taken while mu is held.
type transcripts struct {
	mu    sync.Mutex
	stats Stats
	max   int64 // MaxOffset + 1, so that the zero value is right
	kept  []*transcript
	open  map[*stream]struct{} // streams whose handler has not returned
}

func (ts *transcripts) connected() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.stats.Connections++
}

// opened numbers a stream and begins its transcript.
func (ts *transcripts) opened(st *stream, md metadata.MD) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	// The number and the counter change together, so the numbers have no gap and Stats.Streams is the next number.
	st.n = int(ts.stats.Streams)
	ts.stats.Streams++
	header := md.Copy()
	// Only this header can hold a secret that opens the server. Its presence stays visible, because a client without a
	// token is a frequent mistake.
	if header.Get("authorization") != nil {
		header.Set("authorization", "…") // hide the token, because tests print transcripts
	}
	st.log = &transcript{all: ts, t: Transcript{Number: st.n, Table: st.named, Peer: st.conn.RemoteAddr().String(), Header: header}}
	// The slice is cut at twice the number, so that the copy happens once in keptStreams streams. The copy is new
	// memory, because the old array would keep all former transcripts alive.
	if ts.kept = append(ts.kept, st.log); len(ts.kept) > 2*keptStreams {
		ts.kept = slices.Clone(ts.kept[len(ts.kept)-keptStreams:])
	}
	if ts.open == nil {
		ts.open = map[*stream]struct{}{}
	}
	ts.open[st] = struct{}{}
}

// closed takes a stream out of the open streams. Its transcript stays. DropConnections and End look at the open streams
// only, and a stream without a handler can send nothing any more.
func (ts *transcripts) closed(st *stream) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, st)
}

// live returns the running streams of a table, or all running streams for "".
func (ts *transcripts) live(table string) []*stream {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var out []*stream
	// The table is the table of the headers. A stream whose create request has not come yet belongs to a table
	// already.
	for st := range ts.open {
		if table == "" || st.named == table {
			out = append(out, st)
		}
	}
	return out
}

// add adds an event. The event of a message is added after the message was sent, and a transcript never shows an ack
// that could not be sent.
//
// Two goroutines may add at once, for example a timer and End; the events have the order in which the goroutines got
// the lock. Acks are sent and added under the lock of their stream, and always have the order of the wire.
func (l *transcript) add(e Event) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	if e.Kind == Acked {
		l.all.stats.Acks++
	}
	l.keepLocked(e)
}

// create keeps the create request. It clones the descriptor, because the memory of the message is used again.
func (l *transcript) create(req *request) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.t.Create = &CreateRequest{Table: req.table, RecordType: req.recordType.String(), Descriptor: bytes.Clone(req.descriptor)}
	l.keepLocked(Event{Kind: Created, Offset: -1})
}

// named keeps the stream id before the client gets the id. A script may give another id than the server has made, and
// then the id is not known before.
func (l *transcript) named(id string) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.t.ID = id
}

// request counts a request before any check. A test can then tell a refused request from a request that never came.
func (l *transcript) request(req *request) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.all.stats.Requests++
	// The greatest offset of all streams counts, although each stream begins with 0. The mock servers of the
	// service's own clients count the same.
	l.all.max = max(l.all.max, req.offset+1)
	l.keepLocked(Event{Kind: Ingested, Offset: req.offset, Records: len(req.records), Batch: req.kind == batchRequest})
}

// stored counts rows behind the table and in front of the ack. A test that has an ack finds its rows counted.
func (l *transcript) stored(records [][]byte) {
	size := 0
	for _, r := range records {
		size += len(r)
	}
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	// The rows are in the table by now. A test that waits for this counter finds them there.
	l.all.stats.Records += int64(len(records))
	l.all.stats.Bytes += int64(size)
}

// keepLocked adds an event, unless the transcript is full. A full transcript keeps its first events: the create request
// and the first batches say more about a stream than the latest of a million acks.
func (l *transcript) keepLocked(e Event) {
	if len(l.t.Events) < keptEvents {
		e.Time = time.Now()
		l.t.Events = append(l.t.Events, e)
	}
}

// Streams returns the transcripts, oldest first. Of many streams it returns only the latest, at least 4096.
func (s *Server) Streams() []Transcript {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	out := make([]Transcript, len(s.log.kept))
	for i, l := range s.log.kept {
		out[i] = l.t
		// The stream still adds events, so the caller gets a copy.
		out[i].Events = slices.Clone(l.t.Events)
	}
	return out
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.log.mu.Lock()
	out := s.log.stats
	// The locks of the parts are taken one after another, so the counters may be of slightly different moments.
	out.MaxOffset = s.log.max - 1
	s.log.mu.Unlock()
	out.TokenRequests, out.Tokens = s.tokens.counts()
	out.Calls, out.Open = s.calls.Counts()
	out.Faults = s.faults.Struck() + s.tokens.faults.Struck()
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	out.Tables = len(s.tables.byName)
	for _, t := range s.tables.byName {
		t.mu.Lock()
		out.Duplicates += t.duplicates
		t.mu.Unlock()
	}
	return out
}
