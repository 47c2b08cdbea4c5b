package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Row is a stored record.
type Row struct {
	Value  []byte // the bytes that the client sent; callers must not change them
	JSON   bool   // true for JSON, false for protobuf
	Stream int    // number of the stream that stored the row, see [Server.Streams]
	Offset int64  // the wire offset of its request
	Index  int    // in its batch
}

type tables struct {
	cfg *config

	mu     sync.Mutex
	byName map[string]*table
}

type table struct {
	cfg    *config
	name   string
	schema *fieldSet // nil: every readable record fits

	mu         sync.Mutex // guards the fields below
	rows       []Row
	records    int64
	duplicates int64
	seen       map[uint64]struct{} // hashes of all stored rows, with CountDuplicates
	seed       maphash.Seed
}

func (ts *tables) init(cfg *config) error {
	ts.cfg, ts.byName = cfg, map[string]*table{}
	for _, declared := range cfg.Tables {
		if err := checkTable(declared.Name); err != nil {
			return err
		}
		t := ts.declare(declared.Name)
		if len(declared.Columns) == 0 {
			continue
		}
		var err error
		if t.schema, err = newFieldSet(declared.Columns); err != nil {
			return fmt.Errorf("table %q: %w", declared.Name, err)
		}
	}
	return nil
}

// declare makes a table without columns.
func (ts *tables) declare(name string) *table {
	t := &table{cfg: ts.cfg, name: name, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	ts.byName[name] = t
	return t
}

// find returns a table, or the status of the refusal if the table does not exist.
func (ts *tables) find(name string) (*table, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.byName[name]; t != nil {
		return t, nil
	}
	if err := checkTable(name); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if !ts.cfg.CreateTables {
		return nil, status.Errorf(codes.NotFound, "table %q does not exist", name)
	}
	return ts.declare(name), nil
}

func checkTable(name string) error {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return fmt.Errorf("table name %q: it must have exactly 3 parts", name)
	}
	return nil
}

// Rows returns the rows of a table, in the order in which the server stored them. It returns nil if the table does not
// exist, and with [Config.DiscardRows].
func (s *Server) Rows(table string) []Row {
	s.tables.mu.Lock()
	t := s.tables.byName[table]
	s.tables.mu.Unlock()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.rows)
}

// store adds the records of a request. The records are valid. The table keeps the bytes of the records, except with
// DiscardRows. The row log comes first: if it fails, nothing of the request is stored.
func (t *table) store(st *stream, req *request) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfg.RowLog != nil {
		if err := t.write(st, req); err != nil {
			return status.Errorf(codes.Internal, "cannot write rows: %v", err)
		}
	}
	t.records += int64(len(req.records))
	if t.cfg.CountDuplicates {
		for _, r := range req.records {
			h := maphash.Bytes(t.seed, r)
			if _, again := t.seen[h]; again {
				t.duplicates++
			} else {
				t.seen[h] = struct{}{}
			}
		}
	}
	if t.cfg.DiscardRows {
		return nil
	}
	isJSON := req.recordType == jsonRecord
	for i, r := range req.records {
		t.rows = append(t.rows, Row{Value: r, JSON: isJSON, Stream: st.n, Offset: req.offset, Index: i})
	}
	return nil
}

// write adds the rows of a request to the row log with a single Write, so that a reader never sees half a batch.
func (t *table) write(st *stream, req *request) error {
	var out bytes.Buffer
	for i, r := range req.records {
		line := struct {
			Table  string          `json:"table"`
			Stream string          `json:"stream"`
			Offset int64           `json:"offset"`
			Index  int             `json:"index"`
			JSON   json.RawMessage `json:"json,omitempty"`
			Proto  []byte          `json:"proto,omitempty"` // base64
		}{Table: t.name, Stream: st.id, Offset: req.offset, Index: i}
		if req.recordType == protoRecord {
			line.Proto = r
		} else {
			line.JSON = r
		}
		b, err := json.Marshal(line)
		if err != nil {
			return errors.Join(errors.New("row log"), err)
		}
		out.Write(append(b, '\n'))
	}
	t.cfg.rowLogMu.Lock()
	defer t.cfg.rowLogMu.Unlock()
	_, err := t.cfg.RowLog.Write(out.Bytes())
	return err
}
