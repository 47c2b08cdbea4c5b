package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Store is a [checkpoint.Store] in a SQL database. Many goroutines and many processes may use it.
type Store struct {
	db     *sql.DB
	prefix atomic.Pointer[string] // of the tables' names, with the schema; nil: not known yet
}

var (
	_ checkpoint.Store  = (*Store)(nil)
	_ checkpoint.Lister = (*Store)(nil)
)

// New makes a Store in db. The caller closes db. [Migrate] must have made the table.
func New(db *sql.DB) *Store { return &Store{db: db} }

// Load implements [checkpoint.Store].
func (s *Store) Load(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	if err := begin(ctx, checkKey(key)); err != nil {
		return checkpoint.Checkpoint{}, failed("load", key, err)
	}
	if err = s.locate(ctx); err == nil {
		cp, err = s.load(ctx, s.db, key)
	}
	if err != nil {
		return checkpoint.Checkpoint{}, failed("load", key, err)
	}
	return cp, nil
}

// Claim implements [checkpoint.Store]. Claim waits for the end of transactions that have saved under key.
func (s *Store) Claim(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	if err := begin(ctx, checkKey(key)); err != nil {
		return checkpoint.Checkpoint{}, failed("claim", key, err)
	}
	if err = s.locate(ctx); err == nil {
		cp, err = s.claim(ctx, s.db, key)
	}
	if err != nil {
		return checkpoint.Checkpoint{}, failed("claim", key, err)
	}
	return cp, nil
}

func (s *Store) claim(ctx context.Context, q querier, key string) (checkpoint.Checkpoint, error) {
	cp, err := scan(q.QueryRowContext(ctx, s.sql(claimSQL), key))
	if errors.Is(err, sql.ErrNoRows) { // the epoch cannot grow any more
		return checkpoint.Raise(checkpoint.Checkpoint{Epoch: math.MaxInt64})
	}
	return cp, err
}

// Save implements [checkpoint.Store].
func (s *Store) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	return s.SaveTx(ctx, s.db, key, cp)
}

// Keys implements [checkpoint.Lister].
func (s *Store) Keys(ctx context.Context) ([]string, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, failed("list the keys", "", err)
	}
	slices.Sort(keys) // the database may sort by the rules of a language
	return keys, nil
}

func (s *Store) keys(ctx context.Context) (keys []string, err error) {
	if err := begin(ctx); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, s.sql(keysSQL))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// A Tx is the transaction of SaveTx, for example *sql.Tx or *sql.Conn.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// SaveTx saves a checkpoint in a transaction of the caller: cp is stored if and only if tx commits. If SaveTx fails,
// roll tx back: after [backend.ErrFenced] another consumer owns the stream, and the effect in tx must not be committed.
// If tx reads from a snapshot (REPEATABLE READ or stricter), a concurrent Claim may cause [backend.ErrTransient]. Then
// repeat the whole transaction.
//
// The search_path of tx does not matter: SaveTx names the schema in which Claim or Load of this Store has found the
// table. A Store that has neither claimed nor loaded anything does not know the schema, and follows search_path.
func (s *Store) SaveTx(ctx context.Context, tx Tx, key string, cp checkpoint.Checkpoint) error {
	if err := begin(ctx, checkSave(key, cp)); err != nil {
		return failed("save", key, err)
	}
	// One statement compares the epoch and writes. If we read the epoch first, a Claim could be committed in between,
	// and the old consumer would overwrite the offset of the new one.
	res, err := tx.ExecContext(ctx, s.sql(saveSQL), string(cp.Offset), key, int64(cp.Epoch), aheadColumn(cp))
	if err != nil {
		return failed("save", key, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return failed("save", key, err)
	}
	// There is no row with this key and this epoch: a newer consumer has claimed the key, or nobody has.
	if n == 0 {
		return failed("save", key, s.fenced(ctx, tx, key, cp))
	}
	return nil
}

// fenced returns the reason why no row has the epoch of cp.
func (s *Store) fenced(ctx context.Context, tx Tx, key string, cp checkpoint.Checkpoint) error {
	// tx reads, and not the pool. The pool may have no free connection while the caller holds tx. Also, tx may itself
	// have changed the row.
	stored, err := s.load(ctx, tx, key)
	if err != nil {
		return err
	}
	if err := checkpoint.Fence(stored, cp); err != nil {
		return err
	}
	// A Claim of exactly this epoch was committed between the two statements. So cp does not come from a claim of this
	// store.
	return fmt.Errorf("%w: epoch %d was claimed after the consumer used it", backend.ErrFenced, cp.Epoch)
}

// A querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) load(ctx context.Context, q querier, key string) (checkpoint.Checkpoint, error) {
	cp, err := scan(q.QueryRowContext(ctx, s.sql(loadSQL), key))
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint.Checkpoint{}, nil
	}
	return cp, err
}

func scan(row *sql.Row) (cp checkpoint.Checkpoint, err error) {
	var offset string
	var epoch int64
	var ahead []byte
	if err := row.Scan(&offset, &epoch, &ahead); err != nil {
		return cp, err
	}
	cp = checkpoint.Checkpoint{Offset: backend.Offset(offset), Epoch: uint64(epoch), Ahead: string(ahead)}
	// People can edit the table. A damaged ahead would let a consumer skip records that are not done.
	if err := checkpoint.CheckAhead(cp); err != nil {
		return checkpoint.Checkpoint{}, &checkpoint.CorruptError{Place: "the column ahead of headrace_checkpoints", Err: err}
	}
	return cp, nil
}

// aheadColumn returns the value of the column ahead. The value is nil, for NULL, if no record behind the offset is done.
func aheadColumn(cp checkpoint.Checkpoint) []byte {
	if cp.Ahead == "" {
		return nil
	}
	return []byte(cp.Ahead)
}

func checkKey(key string) error {
	if err := checkpoint.CheckKey(key); err != nil {
		return err
	}
	return checkText("key", key)
}

func checkSave(key string, cp checkpoint.Checkpoint) error {
	if err := checkpoint.CheckSave(key, cp); err != nil {
		return err
	}
	// The column is a signed number. Without the check, the epoch would become negative on its way into the column.
	if cp.Epoch > math.MaxInt64 {
		return checkpoint.Fence(checkpoint.Checkpoint{}, cp)
	}
	return errors.Join(checkText("key", key), checkText("offset", string(cp.Offset)))
}

func checkText(what, s string) error {
	if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		return fmt.Errorf("%w: the %s %.64q is not UTF-8 text without NUL", backend.ErrRejected, what, s)
	}
	return nil
}

// begin returns an error if a call need not reach the database. The arguments are checked before ctx, because no retry
// can help an invalid argument.
func begin(ctx context.Context, refused ...error) error {
	if err := errors.Join(refused...); err != nil {
		return err
	}
	return ctx.Err()
}
