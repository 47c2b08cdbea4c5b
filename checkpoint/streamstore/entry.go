package streamstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// An entry is the content of one record: from this record on, the store holds the entry under its key. Strings may hold
// any bytes; JSON has the strings in base64.
type entry struct {
	Key     []byte `json:"key"`
	Version uint64 `json:"version"` // counts the records of the key that took effect
	Writer  string `json:"writer"`  // a random name of this one write
	Epoch   uint64 `json:"epoch"`
	Offset  []byte `json:"offset,omitempty"`
	Ahead   []byte `json:"ahead,omitempty"`
}

func (e *entry) checkpoint() checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Offset: backend.Offset(e.Offset), Epoch: e.Epoch, Ahead: string(e.Ahead)}
}

func decode(value []byte) (*entry, error) {
	e := new(entry)
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(e); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	if len(e.Key) == 0 || e.Version == 0 || e.Writer == "" || e.Epoch == 0 || e.Epoch > math.MaxInt64 {
		return nil, errors.New("not a checkpoint: a field is missing or out of range")
	}
	return e, checkpoint.CheckAhead(e.checkpoint())
}
