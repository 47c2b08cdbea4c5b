package s2

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// binary asks for base64, in which every byte survives JSON.
func (s *Stream) binary() http.Header {
	h := http.Header{"S2-Format": {"base64"}}
	maps.Copy(h, s.header())
	return h
}

type recordJSON struct {
	SeqNum    *uint64     `json:"seq_num,omitempty"`
	Timestamp *uint64     `json:"timestamp,omitempty"`
	Headers   [][2]string `json:"headers,omitempty"`
	Body      string      `json:"body,omitempty"`
}

func appendJSON(recs []backend.Record, c Condition) ([]byte, error) {
	in := struct {
		Records      []recordJSON `json:"records"`
		MatchSeqNum  *uint64      `json:"match_seq_num,omitempty"`
		FencingToken *string      `json:"fencing_token,omitempty"`
	}{make([]recordJSON, len(recs)), c.SeqNum, c.FencingToken}
	enc := base64.StdEncoding
	for i := range recs {
		r, out := &recs[i], &in.Records[i]
		if wire.HasTime(r) {
			ms := uint64(r.Time.UnixMilli())
			out.Timestamp = &ms
		}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, [2]string{enc.EncodeToString([]byte(h.Name)), enc.EncodeToString(h.Value)})
		}
		out.Body = enc.EncodeToString(r.Value)
	}
	return json.Marshal(in)
}

// batchJSON reads a ReadBatch in base64.
func batchJSON(body []byte) (wire.Batch, error) {
	var in struct {
		Records []recordJSON `json:"records"`
		Tail    *Position    `json:"tail"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return wire.Batch{}, err
	}
	var b wire.Batch
	if in.Tail != nil {
		b.Tail, b.HasTail = wire.Position(*in.Tail), true
	}
	for i := range in.Records {
		r, err := in.Records[i].record()
		if err != nil {
			return wire.Batch{}, fmt.Errorf("record %d: %w", i, err)
		}
		if err := b.Add(*in.Records[i].SeqNum, r); err != nil {
			return wire.Batch{}, err
		}
	}
	return b, nil
}

func (in *recordJSON) record() (r backend.Record, err error) {
	if in.SeqNum == nil {
		return r, errors.New("no seq_num")
	}
	dec := base64.StdEncoding
	if r.Value, err = dec.DecodeString(in.Body); err != nil {
		return r, err
	}
	for _, h := range in.Headers {
		name, err := dec.DecodeString(h[0])
		if err != nil {
			return r, err
		}
		value, err := dec.DecodeString(h[1])
		if err != nil {
			return r, err
		}
		r.Headers = append(r.Headers, backend.Header{Name: string(name), Value: value})
	}
	var ms uint64
	if in.Timestamp != nil {
		ms = *in.Timestamp
	}
	r.Time = wire.Time(ms)
	return r, nil
}

func parseTail(op string, body []byte) (Position, error) {
	var out struct {
		Tail *Position `json:"tail"`
	}
	err := json.Unmarshal(body, &out)
	if err == nil && out.Tail == nil {
		err = errors.New("no tail")
	}
	if err != nil {
		return Position{}, fmt.Errorf("s2: %s: %w", op, protocolErrorf("%w", err))
	}
	return *out.Tail, nil
}
