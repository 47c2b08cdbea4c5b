package server

import (
	"context"
	"crypto/rand"
	"errors"
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

// payloadLimit is what the service takes in one message, 10 MiB.
const payloadLimit = 10 << 20

// A stream is one RPC. gRPC ends an RPC when its handler returns. A handler that waits for the next request could not return for
// another reason, such as a rotation. So the handler only waits for the reason in end, and a goroutine of its own reads the
// requests.
type stream struct {
	srv    *Server
	rpc    grpc.ServerStream
	listen *listener
	peer   string
	named  string        // the table, as the headers name it
	n      int           // the number of the stream, from 0
	id     string        // as the client is told
	gone   chan struct{} // closed when the stream stores nothing any more

	table  *table
	kind   recordType
	check  func(rec []byte) error // nil: any record
	script *script                // nil: none

	next   int64 // the wire offset that must come
	first  bool  // the create has been read
	tapped []Row // memory of tap, which is used again

	mu      sync.Mutex // guards the fields below, and sending
	ended   bool       // there is a reason in end
	end     chan error // holds one value: why the stream ends
	acked   int64      // last wire offset acknowledged
	stored  int64      // last wire offset stored
	signals int
	ackDue  bool // a timer will acknowledge
	timers  []*time.Timer
	log     *transcript
}

// errEOF ends a stream with OK.
var errEOF = errors.New("end of the stream")

func (s *Server) ephemeralStream(rpc grpc.ServerStream, l *listener) error {
	st := &stream{srv: s, rpc: rpc, listen: l, gone: make(chan struct{}), end: make(chan error, 1), acked: -1, stored: -1}
	if p, ok := peer.FromContext(rpc.Context()); ok {
		st.peer = p.Addr.String()
	}
	md, _ := metadata.FromIncomingContext(rpc.Context())
	st.named = one(md, "x-databricks-zerobus-table-name")
	s.log.opened(st, md)
	defer s.log.closed(st)
	s.readers.Go(func() {
		defer close(st.gone)
		st.finish(st.run(md))
	})
	err := <-st.end
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, t := range st.timers {
		t.Stop()
	}
	return err
}

// finish ends the stream. The first reason counts, and nothing is sent after it.
func (st *stream) finish(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return
	}
	st.ended = true
	if errors.Is(err, errEOF) {
		err = nil
	}
	st.log.add(Event{Kind: Ended, Offset: -1, Status: status.Code(err)})
	st.end <- err
}

// run serves the stream in the goroutine that reads it.
func (st *stream) run(md metadata.MD) error {
	if done, err := st.stage(Opening); done || err != nil {
		return err
	}
	// The headers are sent before anything is read, because a client may wait for them before it creates the stream.
	if err := st.rpc.SendHeader(nil); err != nil {
		return err
	}
	var req request
	var f frame
	for {
		err := st.rpc.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return st.halfClosed()
		}
		if err != nil {
			return err
		}
		if err := st.request(&req, f.msg, md); err != nil {
			return err
		}
		if !st.srv.cfg.DiscardRows {
			f.msg = nil // the rows that were stored point into it
		}
	}
}

func (st *stream) request(req *request, msg []byte, md metadata.MD) error {
	if len(msg) > payloadLimit {
		return status.Errorf(codes.InvalidArgument, "message of %d bytes exceeds the limit of %d", len(msg), payloadLimit)
	}
	if err := req.parse(msg); err != nil {
		return status.Errorf(codes.InvalidArgument, "malformed request: %v", err)
	}
	if req.kind == createRequest {
		if st.first {
			return status.Error(codes.InvalidArgument, "the stream is created already")
		}
		st.first = true
		return st.create(req, md)
	}
	if !st.first {
		return status.Error(codes.InvalidArgument, "the first message must create the stream")
	}
	return st.ingest(req)
}

func (st *stream) create(req *request, md metadata.MD) error {
	st.log.create(req)
	if err := st.srv.tokens.check(one(md, "authorization"), req.table); err != nil {
		return err
	}
	if st.named != req.table {
		return status.Errorf(codes.InvalidArgument, "header names table %q, the request %q", st.named, req.table)
	}
	var err error
	if st.table, err = st.srv.tables.find(req.table); err != nil {
		return err
	}
	switch st.kind = req.recordType; {
	case !req.hasType || st.kind == unspecified:
		return status.Error(codes.InvalidArgument, "record type is not specified")
	case st.kind == protoRecord:
		if !req.hasDescriptor {
			return status.Error(codes.InvalidArgument, "a PROTO stream needs descriptor_proto")
		}
		if st.check, err = st.table.schema.protoCheck(req.descriptor); err != nil {
			return err
		}
	case st.kind == jsonRecord:
		st.check = st.table.schema.jsonCheck()
	default:
		return status.Errorf(codes.InvalidArgument, "record type %d is not supported", st.kind)
	}
	st.id = rand.Text()
	if st.script = st.srv.scripts.find(req.table); st.script != nil {
		return st.script.create(st)
	}
	if done, err := st.stage(Creating); done || err != nil {
		return err
	}
	st.log.named(st.id)
	if err := st.send(created(st.id), Event{Kind: Opened, Offset: -1}); err != nil {
		return err
	}
	st.live()
	return nil
}

// live starts the rotation of a stream, if the Config asks for it: first a close signal, then the end.
func (st *stream) live() {
	cfg := st.srv.cfg
	if cfg.Lifetime <= 0 {
		return
	}
	st.after(cfg.Lifetime, func() {
		if err := st.signal(cfg.Notice); err != nil {
			st.finish(err)
			return
		}
		st.after(cfg.Notice, func() {
			if _, err := cfg.AtEnd.run(st); err != nil {
				st.finish(err)
			}
		})
	})
}

func (st *stream) ingest(req *request) error {
	st.log.request(req)
	if !req.hasOffset || req.offset != st.next {
		return status.Errorf(codes.OutOfRange, "wire offset %d where %d must come", req.offset, st.next)
	}
	if req.recordType != st.kind {
		return status.Errorf(codes.InvalidArgument, "a %v record on a %v stream", req.recordType, st.kind)
	}
	if st.script == nil {
		if done, err := st.stage(Receiving); done || err != nil {
			return err
		}
	}
	if err := st.checkRecords(req); err != nil {
		return err
	}
	st.next++
	if err := st.table.store(st, req); err != nil {
		return err
	}
	st.mu.Lock()
	st.stored = req.offset
	st.mu.Unlock()
	st.log.stored(len(req.records))
	st.tap(req)
	if st.script != nil {
		return st.script.ingested(st, req.offset)
	}
	if done, err := st.stage(Stored); done || err != nil {
		return err
	}
	return st.acknowledge(req.offset)
}

// checkRecords refuses a request if one of its records does not fit.
func (st *stream) checkRecords(req *request) error {
	for i, r := range req.records {
		if st.kind == jsonRecord && !utf8.Valid(r) {
			return status.Errorf(codes.InvalidArgument, "record %d is not UTF-8", i)
		}
		if st.check == nil {
			continue
		}
		if err := st.check(r); err != nil {
			return refusal(i, err)
		}
	}
	return nil
}

// tap shows the rows of a request. No lock is held.
func (st *stream) tap(req *request) {
	f := st.srv.cfg.Tap
	if f == nil {
		return
	}
	st.tapped = st.tapped[:0]
	for i, r := range req.records {
		st.tapped = append(st.tapped, Row{Value: r, JSON: req.recordType == jsonRecord, Stream: st.n, Offset: req.offset, Index: i})
	}
	f(st.table.name, st.tapped)
}

// acknowledge acknowledges a stored request, now or later, as the policy says. An ack covers all requests up to its offset.
func (st *stream) acknowledge(offset int64) error {
	p := st.srv.cfg.Acks
	switch {
	case p.never:
	case p.every == 0:
		st.after(p.after, func() { st.ackTo(offset) })
	default:
		st.mu.Lock()
		due := offset-st.acked >= int64(p.every)
		wait := !due && !st.ackDue
		st.ackDue = st.ackDue || wait
		st.mu.Unlock()
		if due {
			return st.ack(offset)
		}
		if wait {
			st.after(p.after, func() {
				st.mu.Lock()
				st.ackDue = false
				upTo := st.stored
				st.mu.Unlock()
				st.ackTo(upTo)
			})
		}
	}
	return nil
}

// ackTo acknowledges from a timer. A timer has no caller, so an error ends the stream here.
func (st *stream) ackTo(offset int64) {
	if err := st.ack(offset); err != nil {
		st.finish(err)
	}
}

// ack acknowledges up to offset, unless a later ack was sent already: timers fire in any order, and acks must not go back.
func (st *stream) ack(offset int64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if offset <= st.acked {
		return nil
	}
	st.acked = offset
	return st.sendLocked(acked(offset), Event{Kind: Acked, Offset: offset})
}

func (st *stream) signal(d time.Duration) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.signals++
	return st.sendLocked(signal(d), Event{Kind: Signalled, Offset: -1, Duration: d})
}

// halfClosed ends a stream whose client sends nothing more. It first acknowledges what is stored.
func (st *stream) halfClosed() error {
	st.log.add(Event{Kind: HalfClosed, Offset: -1})
	if done, err := st.stage(Closing); done || err != nil {
		return err
	}
	if st.script == nil && !st.srv.cfg.Acks.never {
		st.mu.Lock()
		upTo := st.stored
		st.mu.Unlock()
		if err := st.ack(upTo); err != nil {
			return err
		}
	}
	return errEOF
}

func (st *stream) send(msg []byte, e Event) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sendLocked(msg, e)
}

// sendLocked sends a message and notes the event. mu is held for two reasons: gRPC allows one sender at a time, and messages must
// leave in the order in which they were decided. A client that does not read holds up its own stream, until the client goes or
// is cut off.
func (st *stream) sendLocked(msg []byte, e Event) error {
	if st.ended {
		return errEOF // this error is not used: the stream has its reason already
	}
	if err := st.rpc.SendMsg(msg); err != nil {
		return err
	}
	st.log.add(e)
	return nil
}

// after calls f when d has passed, unless the stream has ended.
func (st *stream) after(d time.Duration, f func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return
	}
	t := time.AfterFunc(d, f)
	// We forget the older half of many timers: they have fired. Otherwise acks by time would keep a timer for each request of a
	// long stream.
	if len(st.timers) >= 1024 {
		st.timers = append(st.timers[:0], st.timers[512:]...)
	}
	st.timers = append(st.timers, t)
}

// wait waits for d. The stream reads nothing meanwhile, so in the end its client cannot send.
func (st *stream) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// one returns the value of a header. It returns "" if the header is missing or comes twice, which are both wrong.
func one(md metadata.MD, name string) string {
	if v := md.Get(name); len(v) == 1 {
		return strings.TrimSpace(v[0])
	}
	return ""
}
