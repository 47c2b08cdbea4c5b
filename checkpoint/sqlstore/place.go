package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// PostgreSQL finds a table by search_path, and a caller's transaction may have another search_path than the pool: programs
// with a schema for each customer set it in each transaction. SaveTx would then change the table of another schema. If
// that table has the same key and epoch, nobody would notice. So a Store remembers the schema that its own connections
// use, and names it in the statements.

// schemaSQL returns the schema of the table that the connection uses.
const schemaSQL = `SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = to_regclass('headrace_checkpoints')`

// locate finds the schema, once in the life of a Store. Only calls that use a connection of the pool anyhow call locate:
// SaveTx must not ask for a second connection while its caller holds a connection. If the pool had no free connection,
// SaveTx would wait for its own caller.
func (s *Store) locate(ctx context.Context) error {
	if s.prefix.Load() != nil {
		return nil
	}
	prefix := "headrace_"
	var schema string
	err := s.db.QueryRowContext(ctx, schemaSQL).Scan(&schema)
	switch {
	case err == nil:
		prefix = `"` + strings.ReplaceAll(schema, `"`, `""`) + `".` + prefix
	case errors.Is(err, sql.ErrNoRows):
		return nil // Migrate has not made the table, and the caller's statement will say so
	case !noTable(err):
		return err
	} // SQLite has no pg_class, and no search_path
	s.prefix.Store(&prefix)
	return nil
}

// sql returns a statement that names the schema, if it is known.
func (s *Store) sql(statement string) string {
	if prefix := s.prefix.Load(); prefix != nil {
		return strings.ReplaceAll(statement, "headrace_", *prefix)
	}
	return statement
}
