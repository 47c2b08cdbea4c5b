package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Row is a stored record.
//
// Stream, Offset and Index together are unique, and say where a row came from. A row that a client has sent twice is
// there twice, with two of them.
type Row struct {
	Value  []byte // the bytes that the client sent; callers must not change them
	JSON   bool   // true for JSON, false for protobuf
	Stream int    // number of the stream that stored the row, see [Server.Streams]
	Offset int64  // the wire offset of its request
	Index  int    // in its batch
}

// tables holds all tables of a server. Tables are never removed.
//
// Lock order: the lock of tables, then the lock of a table, then config.rowLogMu. The lock of tables is not held while
// rows are stored, so streams on different tables wait for each other only at the row log. Because no table is ever
// removed, a stream keeps its table without a lock.
type tables struct {
	cfg *config

	mu     sync.Mutex // guards byName
	byName map[string]*table
}

// A table holds the rows of all streams on the table.
type table struct {
	cfg    *config
	name   string
	schema *fieldSet // nil: every readable record fits

	mu         sync.Mutex // guards the fields below
	rows       []Row
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
		t := ts.declareLocked(declared.Name) // no other goroutine has the tables yet
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

// declareLocked makes a table without columns.
func (ts *tables) declareLocked(name string) *table {
	t := &table{cfg: ts.cfg, name: name, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	ts.byName[name] = t
	return t
}

// find returns a table, or the status of the refusal if the table does not exist. The codes differ, because a client
// can mend a wrong name only in its own code, while a table that does not exist may be created.
func (ts *tables) find(name string) (*table, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.byName[name]; t != nil {
		return t, nil
	}
	if err := checkTable(name); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error()) // names the table already
	}
	if !ts.cfg.CreateTables {
		return nil, refuse(codes.NotFound, name, "the table does not exist: create the table before the stream, or start this server with CreateTables")
	}
	return ts.declareLocked(name), nil
}

// checkTable asks for the form catalog.schema.table, as the clients of the service do before their first request.
func checkTable(name string) error {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return fmt.Errorf("table name %q: a name has exactly 3 parts: write catalog.schema.table", name)
	}
	return nil
}

// Rows returns the rows of a table, in the order in which the server stored them. It returns nil if the table does not
// exist, and with [Config.DiscardRows]. The caller gets a copy of the list. The bytes of the rows are shared, because
// they never change.
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

// store adds the records of a request, which are valid. The table keeps the bytes of the records, except with
// DiscardRows.
//
// The lock is held for the whole request, because a batch is stored whole: Rows must not return a part of a batch, and
// the rows of two batches must not mix. The row log comes first. If the row log fails, nothing of the request is
// stored, and the client may send the request again. If the rows were stored first, the request sent again would store
// the rows twice.
func (t *table) store(st *stream, req *request) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfg.RowLog != nil {
		if err := t.logLocked(st, req); err != nil {
			t.cfg.Logger.LogAttrs(st.rpc.Context(), slog.LevelError, "zerobus: a request has failed in the row log",
				slog.String("method", "EphemeralStream"), slog.String("table", t.name), slog.String("stream", st.id),
				slog.Int64("offset", req.offset), slog.Any("error", err))
			return refuse(codes.Internal, t.name, "nothing of request %d is stored, because the row log failed: send the request again; the log of the server has the cause",
				req.offset)
		}
	}
	// The count is made by hashes, because a server that discards its rows has nothing to compare with.
	if t.cfg.CountDuplicates {
		for _, r := range req.records {
			// The seed is the table's, and random. A hash of 64 bits for each row makes a false duplicate so unlikely
			// that tests take the count for exact.
			h := maphash.Bytes(t.seed, r)
			if _, again := t.seen[h]; again {
				t.duplicates++
			} else {
				t.seen[h] = struct{}{}
			}
		}
	}
	// The row log and the count come first, because both read the bytes of the records.
	if t.cfg.DiscardRows {
		return nil // the next message overwrites the memory of these records
	}
	isJSON := req.recordType == jsonRecord
	for i, r := range req.records {
		t.rows = append(t.rows, Row{Value: r, JSON: isJSON, Stream: st.n, Offset: req.offset, Index: i})
	}
	return nil
}

// logLocked adds the rows of a request to the row log with a single Write, so that a reader never sees half a batch.
// The lock of the table keeps the row log in the order of the rows. Nothing is synced: the log is for people and
// tests, and the server itself never reads it.
func (t *table) logLocked(st *stream, req *request) error {
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
		// Marshal checks a JSON record once more, and writes it without line breaks: a reader of the log takes each
		// line for a row.
		b, err := json.Marshal(line)
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		out.Write(append(b, '\n'))
	}
	// The writer of the caller need not be safe for several goroutines, and two tables may write at the same time.
	t.cfg.rowLogMu.Lock()
	defer t.cfg.rowLogMu.Unlock()
	_, err := t.cfg.RowLog.Write(out.Bytes())
	return err
}
