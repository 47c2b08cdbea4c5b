package server

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
)

// append chooses the form of an append by the content type of the request.
func (x *exchange) append() handler {
	if mediaType(x.r.Header.Get("content-type")) == typeS2S {
		x.op = AppendSession
		return x.appendSession
	}
	x.op = UnaryAppend
	return x.appendUnary
}

// autoAppend and autoRead say whether a basin creates a missing stream for an append or a read.
//
// Each of the two kinds of calls has a flag of its own in the basin: a basin may let writers create streams while a
// mistyped name in a reader is still an error.
func autoAppend(c *basinConfig) bool { return c.CreateStreamOnAppend }

// target finds the stream of an append or a read. If the stream is missing and the basin is configured to create
// streams, target creates the stream, with the config that the request names.
func (x *exchange) target(op string, auto func(*basinConfig) bool) (*stream, error) {
	// The permission comes before the look at the catalog. Otherwise a token without rights could find out which
	// streams exist.
	basin, err := x.basinName()
	if err != nil {
		return nil, err
	}
	name, err := x.permit(op, basin, x.stream)
	if err != nil {
		return nil, err
	}
	// The check is on the full name: the prefix of the token counts against the limit of 512 bytes.
	if err := checkStreamName(name); err != nil {
		return nil, err
	}
	var cfg *streamConfig
	if v := x.r.Header.Get("s2-stream-config"); v != "" {
		if err := json.Unmarshal([]byte(v), &cfg); err != nil {
			return nil, badRequest("bad_header", "s2-stream-config: %v", err)
		}
		// A wrong config is refused also when the stream exists. Otherwise the mistake would show only where the stream
		// is missing.
		if err := cfg.check(); err != nil {
			return nil, err
		}
	}
	return x.srv.liveStream(basin, name, cfg, auto)
}

// permitCommands refuses a batch with command records that the token of the request may not append. S2 has rights of
// its own for fence and trim: a token for a plain writer must not be able to lock out other writers, or to delete
// records. The check needs no stream, and comes before the stream is looked up: a refused append must not create one.
func (x *exchange) permitCommands(in *input) error {
	// Nearly all batches have no headers, and a batch without headers has no commands. The check then costs nothing.
	if x.who.root() || len(in.headers) == 0 {
		return nil
	}
	basin, err := x.basinName()
	if err != nil {
		return err
	}
	for i := range in.recs {
		op := ""
		switch cmd, _ := in.command(i); cmd {
		case fence:
			op = "fence"
		case trim:
			op = "trim"
		default:
			continue
		}
		if _, err := x.permit(op, basin, x.stream); err != nil {
			return err
		}
	}
	return nil
}

// appendUnary stores a single batch. The request is checked before the stream is looked up. Otherwise a refused request
// could create a stream and leave the stream behind empty.
//
// The order of the checks is the order of S2, as far as S2 says one: form and limits (400, 422), rights (403), the
// stream (404, 409), the key (400), and at last the conditions of the stream (412): see place. Clients decide by the
// status whether they try again, so of two mistakes the first in this order must be reported.
func (x *exchange) appendUnary() error {
	in := newInput()
	defer in.free()
	if err := x.readInput(in); err != nil {
		return err
	}
	if err := in.validate(); err != nil {
		return err
	}
	if err := x.permitCommands(in); err != nil {
		return err
	}
	s, err := x.target("append", autoAppend)
	if err != nil {
		return err
	}
	if err := x.checkKey(s); err != nil {
		return err
	}
	in.key = x.key
	// The fault strikes after all checks and before the place is given: the batch is lost although nothing is wrong
	// with it.
	if err := x.applyFault(x.srv.strike(x.op, x.stream, Received)); err != nil {
		return err
	}
	a, err := x.store(s, in)
	if err != nil {
		return err
	}
	if x.accepts(isProto) {
		return x.reply("application/protobuf", a.appendProto(nil))
	}
	b, err := json.Marshal(&a)
	if err != nil {
		return err
	}
	return x.reply(typeJSON, b)
}

// readInput reads the body of a unary append, which is protobuf or JSON. Everything that is not protobuf is JSON for
// S2, and decode then refuses another content type.
func (x *exchange) readInput(in *input) error {
	format, err := x.format()
	if err != nil {
		return err
	}
	if isProto(mediaType(x.r.Header.Get("content-type"))) {
		b, err := x.body()
		if err != nil {
			return err
		}
		if err := in.parse(b); err != nil {
			return badRequest("bad_proto", "the body is not an AppendInput: %v", err)
		}
		return nil
	}
	var j jsonInput
	if err := x.decode(&j, false); err != nil {
		return err
	}
	return j.fill(in, format)
}

// store gives in its place in s, and waits until in is durable.
func (x *exchange) store(s *stream, in *input) (a ack, err error) {
	done := make(chan struct{})
	// tell only closes a channel, because tell must not wait. The wait below is in the goroutine of the request.
	refused := s.append(x.srv, in, func(stored ack, failed error) {
		a, err = stored, failed
		close(done)
	})
	if refused != nil {
		return a, refused
	}
	<-done
	return a, err
}

// reply sends the answer of a unary call, unless a fault strikes the answer. The batch is stored by now, or the records
// are read. So a fault here loses an answer and nothing else, which is the case that tells a client with a safe retry
// from a client without.
func (x *exchange) reply(contentType string, b []byte) error {
	e := x.srv.strike(x.op, x.stream, Replying)
	if err := x.applyFault(e); err != nil {
		return err
	}
	return x.send(http.StatusOK, contentType, e.alter(b))
}

// alter returns the bytes that a fault sends in place of b. Byte 3 of a frame is its byte of flags. The answer of a
// unary call has no flags, and a fault that sets one there only damages the answer; tests use it for sessions alone.
func (e *Effect) alter(b []byte) []byte {
	switch e.do {
	case doFrame:
		return slices.Clone(e.frame) // a session writes its next frame into the memory of the frame before
	case doRewrite:
		return e.rewrite(b)
	case doAdvise:
		if len(b) > 3 {
			b[3] |= flagReconnect
		}
	}
	return b
}

// A jsonInput is an AppendInput in JSON.
type jsonInput struct {
	// A header is an array of two strings, its name and its value: S2 allows the same name twice, which a JSON object
	// would lose.
	Records *[]struct {
		Timestamp *uint64     `json:"timestamp"`
		Headers   [][2]string `json:"headers"`
		Body      string      `json:"body"`
	} `json:"records"`
	MatchSeqNum  *uint64 `json:"match_seq_num"`
	FencingToken *string `json:"fencing_token"`
}

// fill writes the parsed JSON to in, and the rest of the server sees one kind of input. Like the protobuf parser, fill
// checks only the form; validate checks the limits.
func (j *jsonInput) fill(in *input, f format) error {
	// Records is a pointer, because S2 answers differently to a missing list (400) and to an empty list (422, by
	// validate).
	if j.Records == nil {
		return badRequest("bad_json", "missing field `records`")
	}
	for _, r := range *j.Records {
		rec := record{h0: len(in.headers)}
		// An absent timestamp and 0 are different: the server gives a record without one the time of arrival.
		if r.Timestamp != nil {
			rec.ts, rec.hasTS = *r.Timestamp, true
		}
		var err error
		for _, h := range r.Headers {
			var out header
			if out.name, err = f.decode(h[0]); err != nil {
				return err
			}
			if out.value, err = f.decode(h[1]); err != nil {
				return err
			}
			in.headers = append(in.headers, out)
		}
		if rec.body, err = f.decode(r.Body); err != nil {
			return err
		}
		in.add(rec)
	}
	if j.MatchSeqNum != nil {
		in.match, in.hasMatch = *j.MatchSeqNum, true
	}
	if j.FencingToken != nil {
		in.token, in.hasToken = []byte(*j.FencingToken), true
	}
	return nil
}

// A format says how the bytes of records are written in JSON: as raw text or in base64.
type format bool

const (
	raw     format = false
	base64F format = true
)

// format returns the form that the request asks for. Each form has two names, and the server accepts both. The header
// means nothing for protobuf, which carries bytes as they are.
func (x *exchange) format() (format, error) {
	switch f := x.r.Header.Get("s2-format"); f {
	case "", "raw", "json":
		return raw, nil
	case "base64", "json-binsafe":
		return base64F, nil
	default:
		return raw, badRequest("bad_header", "unknown s2-format `%s`: use raw or base64", f)
	}
}

func (f format) decode(s string) ([]byte, error) {
	if f == raw {
		return []byte(s), nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, invalid("invalid base64: %v", err)
	}
	return b, nil
}

// appendSession stores batches as they arrive, and acknowledges them in the order of arrival.
//
// Two goroutines do the work. The first goroutine reads inputs and gives them to the stream without waiting for the
// disk, so the next commit can store many inputs of one session. The second goroutine is that of the handler, and
// writes acks: all acks of one commit leave in one write. The session ends when the client ends the session, when an
// input fails, or when the server shuts down. In each case the server first acknowledges the inputs stored before;
// otherwise the client would not know the fate of these inputs. A session has no heartbeats and no timeout. A client
// may keep it open for days without an input, and the end of the connection ends it.
func (x *exchange) appendSession() error {
	// Over HTTP/1.1 a client cannot read acks while it sends inputs.
	if x.r.ProtoMajor < 2 {
		return badRequest("bad_header", "an append session needs HTTP/2: use a unary append over HTTP/1.1")
	}
	// The stream is found once, at the opening. If the stream is deleted later, place refuses the next input.
	s, err := x.target("append", autoAppend)
	if err != nil {
		return err
	}
	if err := x.checkKey(s); err != nil {
		return err
	}
	x.begin(typeS2S)
	// The status is sent, so from here on every failure must travel in a terminal frame.
	q := newAckQueue()
	var running sync.WaitGroup
	over := make(chan struct{})
	// The reason for the end goes through the queue, and not straight to writeAcks: the acks of the inputs before come
	// first.
	running.Go(func() { q.end(x.takeInputs(s, q)) })
	running.Go(func() {
		select {
		case <-over:
		case <-x.srv.closing:
			_ = x.r.Body.Close() // unblocks takeInputs; the inputs that were read before are still acknowledged
		}
	})
	// Deferred calls run from the bottom up. Closing the body and abandoning the queue unblock takeInputs, which may
	// wait for the client or for room in the queue. Closing over ends the other goroutine. Only then can Wait return.
	defer running.Wait()
	defer close(over)
	defer q.abandon()
	defer x.r.Body.Close() // unblocks takeInputs
	return x.writeAcks(q)
}

// begin sends the head of the response of a session at once, because a client may wait for the head before it sends any
// input. Without the flush, both sides would wait for each other. The headers tell proxies neither to buffer nor to
// change the answer: a buffered ack would look like a server that does not answer.
func (x *exchange) begin(contentType string) {
	x.srv.stats.sessions.Add(1)
	h := x.w.Header()
	h.Set("content-type", contentType)
	h.Set("cache-control", "no-cache, no-transform")
	h.Set("x-accel-buffering", "no")
	x.w.WriteHeader(http.StatusOK)
	x.statusSent = true
	x.flush()
}

func (x *exchange) flush() { _ = http.NewResponseController(&x.w).Flush() }

// takeInputs reads inputs and gives them to the stream, until the client ends or something fails, and returns the
// reason. io.EOF means the end by the client. After an input has failed, takeInputs reads nothing more, because S2
// promises to store nothing behind a failed input. The stream compares each input with its conditions at once, and does
// not wait for the inputs before it to be durable. So a client may send a chain of inputs, each of which expects the
// position behind the last: all of them get their places, and share a commit.
func (x *exchange) takeInputs(s *stream, q *ackQueue) error {
	// The buffer gets several small inputs from the body in one read.
	r := bufio.NewReaderSize(x.r.Body, 64<<10)
	// One input serves the whole session. A batch of a thousand records then costs no allocation besides the memory
	// that keeps the records.
	in := newInput()
	defer in.free()
	var buf []byte
	for {
		var payload []byte
		var err error
		payload, buf, err = x.srv.coder.readFrame(r, buf)
		if err != nil {
			// A shutdown closes the body, and the read above fails. The client must hear of the shutdown, not of a
			// broken body.
			select {
			case <-x.srv.closing:
				return draining()
			default:
			}
			return orAbort(err)
		}
		// The stream has copied the records of the last input, so we use the memory of the last input again.
		*in = input{recs: in.recs[:0], headers: in.headers[:0], key: x.key}
		if err := in.parse(payload); err != nil {
			// The acks of the inputs before leave first. The client then knows: everything up to here is stored, and
			// nothing from here on.
			return badRequest("bad_frame", "the payload of a frame is not an AppendInput: %v", err)
		}
		// A refused input ends the session, even if the next input would be right. A client sends inputs ahead. If the
		// server stored an input behind a refused input, the records of the client would change their order.
		if err := in.validate(); err != nil {
			return err
		}
		if err := x.permitCommands(in); err != nil {
			return err
		}
		// A fault at Received strikes before the append, because tests use the fault to lose a batch after the client
		// has sent the batch.
		if err := x.applyFault(x.srv.strike(x.op, x.stream, Received)); err != nil {
			return err
		}
		// DropConnections promises: nothing of an old connection is stored later. The buffers of the server may still
		// hold frames of a dropped connection, and we must not store them.
		if x.conn().dropped.Load() {
			return errAbort
		}
		// We reserve the slot before the append, because tell may decide the slot before append returns.
		slot, ok := q.reserve(in.metered)
		if !ok {
			return errAbort
		}
		if err := s.append(x.srv, in, func(a ack, err error) { q.decide(slot, a, err) }); err != nil {
			// A refused input will never be decided. A slot without a decision would keep the writer waiting for ever.
			q.unreserve()
			return err
		}
	}
}

// orAbort returns errAbort for an error of the connection, when the client is gone. Without this, the failure of a client
// would be logged as a failure of the storage.
func orAbort(err error) error {
	if _, refused := err.(*apiError); refused || err == io.EOF {
		return err
	}
	return errAbort
}

// writeAcks writes acks until the queue ends. If the queue has ended with an error, writeAcks then writes a terminal
// frame. All acks that are decided leave in one write, because a commit decides many acks at once, and a write for each
// ack would cost a system call and a wake-up of the client each.
//
// If a fault strikes an ack, writeAcks first writes the acks before it, because the fault is meant for one ack only. An
// ack has no number: the client takes the k-th ack for the ack of its k-th input. A missing or repeated ack would shift
// the meaning of all acks behind it, and the client would believe records durable that were never stored.
func (x *exchange) writeAcks(q *ackQueue) error {
	var acks []ack
	var out, payload []byte
	for {
		var end error
		// The memory of acks and out is used again in each turn: a session under load makes no garbage for its acks.
		acks, end = q.wait(acks[:0])
		out = out[:0]
		for i := range acks {
			e := x.srv.strike(x.op, x.stream, Replying)
			// The fault does not mean the acks collected before. These acks leave first, because a Drop would lose them
			// too.
			if e.do != doNothing && len(out) > 0 {
				if err := x.write(out); err != nil {
					return err
				}
				x.flush()
				out = out[:0]
			}
			if err := x.applyFault(e); err != nil {
				return x.endFrames(out, err)
			}
			at := len(out)
			// An ack is far below minCompressed, so the codec that the client accepts does not matter.
			payload = acks[i].appendProto(payload[:0])
			out = x.srv.coder.appendFrame(out, payload, plain, 0)
			if e.do != doNothing {
				// alter may change the frame in place or return other bytes. The full slice expression keeps append
				// from overwriting memory that alter has returned.
				out = append(out[:at:at], e.alter(out[at:])...)
			}
		}
		// Acks are counted when they are about to be written. A test that waits for the count may still have to wait
		// for the bytes.
		x.srv.stats.acks.Add(int64(len(acks)))
		// The acks of the inputs before the failed input are in out, and leave in front of the terminal frame. Without
		// these acks, the client would have to take stored batches for doubtful.
		if end != nil {
			return x.endFrames(out, end)
		}
		if err := x.write(out); err != nil {
			return err
		}
		x.flush()
	}
}
