package server

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"
)

// append picks the form of an append by its content type.
func (x *exchange) append() (func() error, error) {
	if mediaType(x.r.Header.Get("content-type")) == typeS2S {
		x.op = AppendSession
		return x.appendSession, nil
	}
	x.op = UnaryAppend
	return x.appendUnary, nil
}

func autoAppend(c *basinConfig) bool { return c.CreateStreamOnAppend }

// target finds the stream of an append or a read. A stream that is made for it has the config of the request.
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

// appendUnary stores one batch. What is wrong with the request itself is said before the stream is looked for.
func (x *exchange) appendUnary() error {
	in := newInput()
	defer in.free()
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
	} else {
		var j jsonInput
		if err := x.decode(&j, false); err != nil {
			return err
		}
		if err := j.fill(in, format); err != nil {
			return err
		}
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
	type outcome struct {
		ack ack
		err error
	}
	done := make(chan outcome, 1)
	if err := s.accept(x.srv, in, func(a ack, err error) { done <- outcome{a, err} }); err != nil {
		return err
	}
	o := <-done
	if o.err != nil {
		return o.err
	}
	var b []byte
	contentType := typeJSON
	if x.accepts(isProto) {
		contentType = "application/protobuf"
		b = o.ack.appendProto(nil)
	} else if b, err = json.Marshal(&o.ack); err != nil {
		return err
	}
	return x.reply(contentType, b)
}

// reply sends a unary answer through the faults of its last stage.
func (x *exchange) reply(contentType string, b []byte) error {
	e := x.srv.strike(x.op, x.stream, Replying)
	if err := x.suffer(e); err != nil {
		return err
	}
	return x.send(http.StatusOK, contentType, e.alter(b))
}

// alter is what a fault makes of what is due.
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

// appendSession stores batches as they come in and acks them in order. One goroutine reads and stores, the handler
// writes: acks that are ready together leave in one write.
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

// beginFrames sends the head of an answer at once: a client may wait for it before it says anything.
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

// takeInputs stores what the client sends until it ends or something fails, and returns why.
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
			return errAbort // what is still in buffers dies with the connection
		}
		slot, ok := q.reserve()
		if !ok {
			return errAbort
		}
		if err := s.accept(x.srv, in, func(a ack, err error) { q.settle(slot, a, err) }); err != nil {
			q.unreserve()
			return err
		}
	}
}

// writeAcks writes acks until the queue ends, and the terminal frame if it ended with an error.
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
