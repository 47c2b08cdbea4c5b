package s2

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// A recordJSON is a record in a server-sent event, with names, values and bodies in base64.
type recordJSON struct {
	SeqNum    *uint64     `json:"seq_num,omitempty"`
	Timestamp *uint64     `json:"timestamp,omitempty"`
	Headers   [][2]string `json:"headers,omitempty"`
	Body      string      `json:"body,omitempty"`
}

// batchJSON reads the batch of an event.
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
