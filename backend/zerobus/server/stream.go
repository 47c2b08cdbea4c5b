package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// payloadLimit is the service's limit for one message: 10 MiB.
const payloadLimit = 10 << 20

// A stream is one RPC. gRPC ends an RPC when its handler returns. A handler that reads requests cannot return for
// another reason, such as a rotation, while it waits for the next request. So a goroutine of its own reads the
// requests, and the handler only waits for the reason in end.
//
// Three kinds of goroutines work on a stream: the reader, which alone checks and stores requests; timers, for acks and
// for the rotation; and callers of the Server, for example of End. Only the reader writes the fields before mu.
// Everything that is sent to the client goes through sendLocked.
//
// Lock order: mu, then the lock of transcripts. mu is not held while rows are stored, because Rows and the timers of
// other streams must not wait for a slow client. One goroutine reads and stores, because the order of the rows must be
// the order of the wire offsets.
type stream struct {
	srv   *Server
	rpc   grpc.ServerStream
	conn  *conn
	named string        // the table in the request's headers
	n     int           // the number of the stream, from 0
	id    string        // stream id that the client gets
	gone  chan struct{} // closed when the reader has returned, so that the stream can store nothing any more

	table  *table
	kind   recordType
	check  func(rec []byte) error // nil: every record is valid
	script *script                // nil: the table has no script

	next   int64 // wire offset that the next request must have
	first  bool  // the create has been read
	tapped []Row // memory that tap uses again for each request

	mu      sync.Mutex // guards the fields below, and sending
	opened  bool       // the client has the response to its create request
	ended   bool       // there is a reason in end
	end     chan error // holds one value: why the stream ends
	acked   int64      // last wire offset acknowledged
	stored  int64      // last wire offset stored
	signals int
	ackDue  bool // a timer will acknowledge
	timers  []*time.Timer
	log     *transcript
}

// errEOF ends a stream with the status OK. nil would not do: nil says that the stream goes on.
var errEOF = errors.New("end of the stream")

// ephemeralStream is the handler of the RPC. The handler returns only when a reason is in end, and the reason is sent
// to the client by gRPC as the status, behind all messages that the stream has sent before.
func (s *Server) ephemeralStream(rpc grpc.ServerStream) (err error) {
	s.calls.Begin()
	defer func() { s.calls.End("stream", status.Code(err).String()) }()
	// end has room for its one value, so finish never waits for the handler. acked and stored begin below the first
	// offset, because 0 is an offset.
	st := &stream{srv: s, rpc: rpc, gone: make(chan struct{}), end: make(chan error, 1), acked: -1, stored: -1}
	client, _ := peer.FromContext(rpc.Context())
	st.conn = client.Addr.(peerAddr).conn // every connection comes from a listener
	md, _ := metadata.FromIncomingContext(rpc.Context())
	st.named = soleValue(md, "x-databricks-zerobus-table-name")
	// The transcript exists before the reader starts, because each step of the reader adds an event.
	s.log.opened(st, md)
	// Deferred: the stream stays among the open streams until its reason is known.
	defer s.log.closed(st)
	s.readers.Go(func() {
		// Only this goroutine stores records, so the stream stores nothing more after run has returned. DropConnections
		// relies on that.
		defer close(st.gone)
		st.finish(st.run(md))
	})
	err = <-st.end
	st.mu.Lock()
	defer st.mu.Unlock()
	// finish has set ended under the same lock, so after adds no timer behind this loop.
	for _, t := range st.timers {
		t.Stop()
	}
	return err
}

// finish ends the stream. Only the first reason counts, and the stream sends nothing afterwards. Several goroutines may
// call finish: the reader, a timer of the rotation, and Server.End. The reader also calls finish after another
// goroutine has: the end of the RPC makes RecvMsg fail, and that error must not replace the reason.
func (st *stream) finish(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return
	}
	st.ended = true
	// gRPC would send the status UNKNOWN for errEOF. Only nil is the status OK.
	if errors.Is(err, errEOF) {
		err = nil
	}
	st.log.add(Event{Kind: Ended, Offset: -1, Status: status.Code(err)})
	st.end <- err
}

// run reads and answers the requests of the stream until the stream ends.
func (st *stream) run(md metadata.MD) error {
	// The fault acts before the headers, so a test can hold up or refuse a client that waits for the headers.
	if done, err := st.stage(Opening); done || err != nil {
		return err
	}
	// We send the headers before we read the first message, because a client may wait for the headers before it sends
	// the create request.
	if err := st.rpc.SendHeader(nil); err != nil {
		return err
	}
	var req request
	var f frame
	for {
		err := st.rpc.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			// The client has half-closed the stream and waits for its last acks. io.EOF is therefore no failure.
			return st.halfClosed()
		}
		if err != nil {
			return err
		}
		if err := st.request(&req, f.msg, md); err != nil {
			return err
		}
		if !st.srv.cfg.DiscardRows {
			f.msg = nil // the stored rows alias this memory, so the next message needs new memory
		}
	}
}

// request answers one message of the client. Each refusal ends the stream: the client has sent further requests
// already, and their offsets would have a gap. The codes are those of the service: INVALID_ARGUMENT, NOT_FOUND,
// OUT_OF_RANGE and the two about rights are final for clients, and they try again after every other code.
func (st *stream) request(req *request, msg []byte, md metadata.MD) error {
	// The limit is for the whole message, as at the service, so the bytes around the records count too.
	if len(msg) > payloadLimit {
		return st.refuse(codes.InvalidArgument, "a message of %d bytes exceeds the limit of %d: send smaller batches", len(msg), payloadLimit)
	}
	if err := req.parse(msg); err != nil {
		return st.refuse(codes.InvalidArgument, "malformed request: %v: send a serialized EphemeralStreamRequest", err)
	}
	if req.kind == createRequest {
		if st.first {
			return st.refuse(codes.InvalidArgument, "the stream is created already: send records, or open another stream")
		}
		st.first = true // also if the create is refused, because a refusal ends the stream
		return st.create(req, md)
	}
	if !st.first {
		return st.refuse(codes.InvalidArgument, "the first message must create the stream: send a create_stream request first")
	}
	return st.ingest(req)
}

// refuse returns a status about the table that the headers name, which is known before the create request.
func (st *stream) refuse(code codes.Code, format string, args ...any) error {
	return refuse(code, st.named, format, args...)
}

// create checks the create request and opens the stream. The token is checked before the table is looked up. Otherwise
// a client without rights could find out which tables exist.
func (st *stream) create(req *request, md metadata.MD) error {
	// The transcript gets the request before any check: tests look at refused requests too.
	st.log.create(req)
	// The token is bound to the table of the create request. The headers alone are not enough for the check.
	if err := st.srv.tokens.check(soleValue(md, "authorization"), req.table); err != nil {
		return err
	}
	if st.named != req.table {
		return st.refuse(codes.InvalidArgument, "the header names this table, and the create request names %q: name the same table in both", req.table)
	}
	var err error
	if st.table, err = st.srv.tables.find(req.table); err != nil {
		return err
	}
	switch st.kind = req.recordType; {
	// An absent type and the type 0 are refused alike. The clients of the service always set the type, and a guess
	// would let a client pass here that fails at the service.
	case !req.hasType || st.kind == unspecified:
		return st.refuse(codes.InvalidArgument, "the record type is not specified: set record_type to PROTO or JSON")
	case st.kind == protoRecord:
		if !req.hasDescriptor {
			return st.refuse(codes.InvalidArgument, "a PROTO stream needs descriptor_proto: send the DescriptorProto of the records' message")
		}
		if st.check, err = st.table.schema.protoCheck(req.descriptor); err != nil {
			return refuseSchema(st.named, "", err)
		}
	case st.kind == jsonRecord:
		st.check = st.table.schema.jsonCheck()
	default:
		return st.refuse(codes.InvalidArgument, "record type %d is not supported: set record_type to PROTO or JSON", st.kind)
	}
	// The id is set before any answer, because scripts and the row log use the id too. As at the service, each RPC gets a
	// new id, and the id does not name the stream that a client continues after a lost connection.
	st.id = rand.Text()
	if st.script = st.srv.scripts.find(req.table); st.script != nil {
		return st.script.create(st)
	}
	// Behind all checks: a fault here meets a client whose request is right, and the client must try again.
	if done, err := st.stage(Creating); done || err != nil {
		return err
	}
	st.log.named(st.id) // before the client has the id: a test that has the id must find the transcript
	if err := st.send(created(st.id), Event{Kind: Opened, Offset: -1}); err != nil {
		return err
	}
	// The lifetime begins when the client has the response. A close signal in front of the response would be an
	// answer that the protocol does not allow.
	st.live()
	return nil
}

// live starts the rotation of a stream, if the Config asks for rotation: a close signal first, and the end when the
// notice is over. Between the two the stream works as before, because a client that stops at the signal must still get
// the acks of what is in flight. The service ends a stream after about 15 minutes, so a rotation is no fault: every
// client must survive it, and lose no record over it.
func (st *stream) live() {
	cfg := st.srv.cfg
	if cfg.Lifetime <= 0 {
		return
	}
	st.after(cfg.Lifetime, func() {
		// A timer has no caller, so an error ends the stream here.
		if err := st.signal(cfg.Notice); err != nil {
			st.finish(err)
			return
		}
		st.after(cfg.Notice, func() {
			// An AtEnd such as Silence leaves the stream open. Then the client has to act on the signal by itself.
			if _, err := cfg.AtEnd.run(st); err != nil {
				st.finish(err)
			}
		})
	})
}

// ingest stores one request. The order of the steps decides what a client may believe: check, store, note what is
// stored, acknowledge. A fault at Receiving acts before anything is stored, and a fault at Stored acts before the ack,
// so a test can lose the request or only its ack.
func (st *stream) ingest(req *request) error {
	st.log.request(req)
	// The service demands offsets without a gap. A client that loses or repeats a request must not go unnoticed here.
	switch {
	// The protocol is proto2, and an offset of 0 is written. So an absent offset is a mistake of the client and not an
	// offset of 0.
	case !req.hasOffset:
		return st.refuse(codes.OutOfRange, "a request without a wire offset, want offset %d: number the requests of each stream from 0", st.next)
	case req.offset != st.next:
		return st.refuse(codes.OutOfRange, "wire offset %d, want %d: number the requests of each stream from 0 without a gap", req.offset, st.next)
	case req.recordType != st.kind:
		return st.refuse(codes.InvalidArgument, "a %v record on a %v stream: open a stream for each type of records", req.recordType, st.kind)
	}
	// The script decides each answer. A fault beside the script would use up requests for which the steps of the script
	// wait.
	if st.script == nil {
		if done, err := st.stage(Receiving); done || err != nil {
			return err
		}
	}
	// The check comes before the offset moves and before anything is stored. So a refused batch leaves nothing
	// behind.
	if err := st.checkRecords(req); err != nil {
		return err
	}
	// next belongs to the reader alone. Timers and tests look at stored, which moves only when the rows are in the
	// table.
	st.next++
	// From here on the offset is used up. A request that fails inside store ends the stream, so nothing can follow.
	if err := st.table.store(st, req); err != nil {
		return err
	}
	st.mu.Lock()
	// Timers and the half-close acknowledge up to stored. The request is in the table, so they may acknowledge it now.
	st.stored = req.offset
	st.mu.Unlock()
	st.log.stored(req.records)
	st.tap(req) // before the ack: a client that has its ack may look at what Tap has done
	if st.script != nil {
		return st.script.ingested(st, req.offset)
	}
	if done, err := st.stage(Stored); done || err != nil {
		return err
	}
	// The rows are stored. If the ack is lost now, the client sends the rows again, and the table has the rows twice, as
	// at the service.
	return st.acknowledge(req.offset)
}

// checkRecords refuses the whole request if one of its records does not fit, because a batch is stored whole or not at
// all. The text names the first record at fault. Clients cannot rely on the text, so they find the record by sending
// parts of the batch. The stream ends with the refusal, and everything behind the batch is refused with it.
func (st *stream) checkRecords(req *request) error {
	for i, r := range req.records {
		// The protocol carries JSON in a string of protobuf, and a string of protobuf must be UTF-8.
		if st.kind == jsonRecord && !utf8.Valid(r) {
			return st.refuse(codes.InvalidArgument, "record %d is not UTF-8: JSON text must be UTF-8", i)
		}
		if st.check == nil {
			continue
		}
		if err := st.check(r); err != nil {
			return refuseSchema(st.named, fmt.Sprintf("record %d: ", i), err)
		}
	}
	return nil
}

// tap passes the rows of a request to Config.Tap. No lock is held, and Tap may call the server. While Tap waits, its
// own stream stands still, and the flow control stops the client: a test can slow down a client in this way.
func (st *stream) tap(req *request) {
	f := st.srv.cfg.Tap
	if f == nil {
		return
	}
	// The rows are made anew from the request, because the table keeps no rows with DiscardRows.
	st.tapped = st.tapped[:0]
	for i, r := range req.records {
		st.tapped = append(st.tapped, Row{Value: r, JSON: req.recordType == jsonRecord, Stream: st.n, Offset: req.offset, Index: i})
	}
	f(st.table.name, st.tapped)
}

// signal asks the client to go within d. The protocol lets acks and further requests pass behind a signal: the client
// decides when it goes.
func (st *stream) signal(d time.Duration) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.signals++
	return st.sendLocked(signal(d), Event{Kind: Signalled, Offset: -1, Duration: d})
}

func (st *stream) send(msg []byte, e Event) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sendLocked(msg, e)
}

// sendLocked sends a message and adds the event to the transcript. mu is held for two reasons: gRPC allows only one
// sender at a time, and messages must leave in the order in which we decided on them. Without the second, a timer that
// has decided on ack 7 could send after the reader has sent ack 8, and the client would end the stream because of an
// ack that goes back. A client that does not read delays only its own stream, until the client goes or is cut off.
func (st *stream) sendLocked(msg []byte, e Event) error {
	if st.ended {
		return errEOF // nobody sees this error, because the stream has its reason already
	}
	// gRPC does not allow SendMsg after the handler has returned. ended is set before the handler returns, and under
	// the lock that we hold.
	if err := st.rpc.SendMsg(msg); err != nil {
		return err
	}
	st.opened = st.opened || e.Kind == Opened
	st.log.add(e)
	return nil
}

// after calls f when d has passed, unless the stream has ended. The end of the stream stops the timers, so a test that
// has ended leaves no timers behind, which testing/synctest would wait for.
func (st *stream) after(d time.Duration, f func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return
	}
	// f may run before this function returns. f takes mu itself, and so waits until the timer is in the list.
	t := time.AfterFunc(d, f)
	// If there are many timers, we drop the older half, because those timers have fired. Otherwise acks by time would
	// keep a timer for each request of a long stream.
	if len(st.timers) >= 1024 {
		st.timers = append(st.timers[:0], st.timers[512:]...)
	}
	st.timers = append(st.timers, t)
}

// soleValue returns the value of a header, and "" for a missing header. A repeated header counts as missing, because a
// proxy and the service could believe different values of the two.
func soleValue(md metadata.MD, name string) string {
	if v := md.Get(name); len(v) == 1 {
		return strings.TrimSpace(v[0])
	}
	return ""
}
