package server

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"
)

// append picks the form of an append by its content type.
func (x *exchange) append() handler {
	if mediaType(x.r.Header.Get("content-type")) == typeS2S {
		x.op = AppendSession
		return x.appendSession
	}
	x.op = UnaryAppend
	return x.appendUnary
}

func autoAppend(c *basinConfig) bool { return c.CreateStreamOnAppend }

// target finds the stream of an append or a read, and creates it if the basin is configured so. A stream that is created has the
// config that the request names.
func (x *exchange) target(op string, auto func(*basinConfig) bool) (*stream, error) {
	basin, err := x.basinName()
	if err != nil {
		return nil, err
	}
	name, err := x.permit(op, basin, x.stream)
	if err != nil {
		return nil, err
	}
	if err := checkStreamName(name); err != nil {
		return nil, err
	}
	var cfg *streamConfig
	if v := x.r.Header.Get("s2-stream-config"); v != "" {
		if err := json.Unmarshal([]byte(v), &cfg); err != nil {
			return nil, badRequest("bad_header", "s2-stream-config: %v", err)
		}
		if err := cfg.check(); err != nil {
			return nil, err
		}
	}
	return x.srv.liveStream(basin, name, cfg, auto)
}

// permitCommands refuses command records that the token may not append.
func (x *exchange) permitCommands(in *input, s *stream) error {
	if x.who.root() || len(in.headers) == 0 {
		return nil
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
		if _, err := x.permit(op, s.basin, x.stream); err != nil {
			return err
		}
	}
	return nil
}

// appendUnary stores one batch. It refuses what is wrong with the request itself before it looks for the stream: a request that
// creates its stream must not leave an empty stream behind when it is refused.
func (x *exchange) appendUnary() error {
	in := newInput()
	defer in.free()
	if err := x.readInput(in); err != nil {
		return err
	}
	if err := in.validate(); err != nil {
		return err
	}
	s, err := x.target("append", autoAppend)
	if err != nil {
		return err
	}
	if err := x.permitCommands(in, s); err != nil {
		return err
	}
	if err := x.unlock(s); err != nil {
		return err
	}
	if err := x.suffer(x.srv.strike(x.op, x.stream, Received)); err != nil {
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

// readInput reads the body of a unary append, which is protobuf or JSON.
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
			return badRequest("bad_proto", "%v", err)
		}
		return nil
	}
	var j jsonInput
	if err := x.decode(&j, false); err != nil {
		return err
	}
	return j.fill(in, format)
}

// store gives in its place in s and waits until in is durable.
func (x *exchange) store(s *stream, in *input) (a ack, err error) {
	done := make(chan struct{})
	refused := s.accept(x.srv, in, func(stored ack, failed error) {
		a, err = stored, failed
		close(done)
	})
	if refused != nil {
		return a, refused
	}
	<-done
	return a, err
}

// reply sends a unary answer, unless a fault strikes it.
func (x *exchange) reply(contentType string, b []byte) error {
	e := x.srv.strike(x.op, x.stream, Replying)
	if err := x.suffer(e); err != nil {
		return err
	}
	return x.send(http.StatusOK, contentType, e.alter(b))
}

// alter returns what a fault sends in place of the bytes that are due.
func (e *Effect) alter(b []byte) []byte {
	switch e.do {
	case doFrame:
		return e.frame
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
	Records *[]struct {
		Timestamp *uint64     `json:"timestamp"`
		Headers   [][2]string `json:"headers"`
		Body      string      `json:"body"`
	} `json:"records"`
	MatchSeqNum  *uint64 `json:"match_seq_num"`
	FencingToken *string `json:"fencing_token"`
}

func (j *jsonInput) fill(in *input, f format) error {
	if j.Records == nil {
		return badRequest("bad_json", "missing field `records`")
	}
	for _, r := range *j.Records {
		rec := record{h0: len(in.headers)}
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

// A format is how bytes are spelt in JSON.
type format bool

const (
	raw     format = false
	base64F format = true
)

func (x *exchange) format() (format, error) {
	switch f := x.r.Header.Get("s2-format"); f {
	case "", "raw", "json":
		return raw, nil
	case "base64", "json-binsafe":
		return base64F, nil
	default:
		return raw, badRequest("bad_header", "unknown s2-format `%s`", f)
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

// appendSession stores batches as they come in and acknowledges them in order.
//
// Two goroutines share a session. One reads inputs and gives them to the stream, without waiting for the disk: so the next commit
// can take many inputs of one session. The handler's own goroutine writes acks: what is decided together leaves in one write.
// The session ends when the client ends it, when an input fails, or when the server shuts down; in each case the inputs that
// were accepted before are acknowledged first.
func (x *exchange) appendSession() error {
	if x.r.ProtoMajor < 2 {
		return badRequest("bad_header", "an append session needs HTTP/2")
	}
	s, err := x.target("append", autoAppend)
	if err != nil {
		return err
	}
	if err := x.unlock(s); err != nil {
		return err
	}
	x.beginFrames()
	q := newAckQueue()
	var running sync.WaitGroup
	over := make(chan struct{})
	running.Go(func() { q.end(x.takeInputs(s, q)) })
	running.Go(func() {
		select {
		case <-over:
		case <-x.srv.closing:
			_ = x.r.Body.Close() // what was read is still acked
		}
	})
	defer running.Wait()
	defer close(over)
	defer q.abandon()
	defer x.r.Body.Close() // ends the reading
	return x.writeAcks(q)
}

// beginFrames sends the head of an answer at once, because a client may wait for it before it sends anything.
func (x *exchange) beginFrames() {
	x.srv.stats.sessions.Add(1)
	h := x.w.Header()
	h.Set("content-type", typeS2S)
	h.Set("cache-control", "no-cache, no-transform")
	h.Set("x-accel-buffering", "no")
	x.w.WriteHeader(http.StatusOK)
	x.begun = true
	x.flush()
}

func (x *exchange) flush() { _ = http.NewResponseController(x.w).Flush() }

// takeInputs gives the stream what the client sends, until the client ends or something fails, and returns why. Behind an input
// that fails it reads nothing more: S2 promises that nothing behind a failed input is stored.
func (x *exchange) takeInputs(s *stream, q *ackQueue) error {
	r := bufio.NewReaderSize(x.r.Body, 64<<10)
	in := newInput()
	defer in.free()
	var buf []byte
	for {
		var payload []byte
		var err error
		payload, buf, err = x.srv.coder.readFrame(r, buf)
		if err != nil {
			select {
			case <-x.srv.closing:
				return draining()
			default:
			}
			return err
		}
		*in = input{recs: in.recs[:0], headers: in.headers[:0]}
		if err := in.parse(payload); err != nil {
			return badRequest("bad_frame", "%v", err)
		}
		if err := in.validate(); err != nil {
			return err
		}
		if err := x.permitCommands(in, s); err != nil {
			return err
		}
		if err := x.suffer(x.srv.strike(x.op, x.stream, Received)); err != nil {
			return err
		}
		if x.conn().dropped.Load() {
			return errAbort // a dropped connection takes with it what is still in the buffers of the server
		}
		slot, ok := q.reserve()
		if !ok {
			return errAbort
		}
		if err := s.accept(x.srv, in, func(a ack, err error) { q.decide(slot, a, err) }); err != nil {
			q.unreserve()
			return err
		}
	}
}

// writeAcks writes acks until the queue ends, and then a terminal frame if the queue has ended with an error. If a fault strikes an
// ack, the acks in front of it are written first: they were not meant.
func (x *exchange) writeAcks(q *ackQueue) error {
	var acks []ack
	var out, payload []byte
	for {
		var end error
		acks, end = q.wait(acks[:0])
		out = out[:0]
		for i := range acks {
			e := x.srv.strike(x.op, x.stream, Replying)
			if e.do != doNothing && len(out) > 0 {
				if err := x.write(out); err != nil {
					return err
				}
				x.flush()
				out = out[:0]
			}
			if err := x.suffer(e); err != nil {
				return x.endFrames(out, err)
			}
			at := len(out)
			payload = acks[i].appendProto(payload[:0])
			out = x.srv.coder.appendFrame(out, payload, plain, 0)
			if e.do != doNothing {
				out = append(out[:at:at], e.alter(out[at:])...)
			}
		}
		x.srv.stats.acks.Add(int64(len(acks)))
		if end != nil {
			return x.endFrames(out, end)
		}
		if err := x.write(out); err != nil {
			return err
		}
		x.flush()
	}
}
