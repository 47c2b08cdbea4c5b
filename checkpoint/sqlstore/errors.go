package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/headrace/headrace/backend"
)

// failed adds the call and the key to an error, and says whether a retry may help. A long key is cut, so that the error
// fits into a log line.
func failed(op, key string, err error) error {
	if key != "" {
		op = fmt.Sprintf("%s %.64q", op, key)
	}
	switch {
	case transient(err):
		return fmt.Errorf("sqlstore: %s: %w: %w", op, backend.ErrTransient, err)
	case noTable(err):
		return fmt.Errorf("sqlstore: %s: %w (call sqlstore.Migrate first)", op, err)
	case syntax(err):
		// Our statements are right for their own database, so the database is another one.
		return fmt.Errorf("sqlstore: %s: %w (is the Dialect, sqlstore.PostgreSQL or sqlstore.SQLite, that of this database?)", op, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", op, err)
}

// Classify is for errors of the caller's own statements and commits. It wraps [backend.ErrTransient] around transient
// errors, by the same rules as the methods of a Store, and returns every other error unchanged. After a Commit with a
// transient error, the transaction may be committed: load the checkpoint to find out.
func Classify(err error) error {
	if err == nil || errors.Is(err, backend.ErrTransient) || !transient(err) {
		return err
	}
	return fmt.Errorf("%w: %w", backend.ErrTransient, err)
}

// transientClasses are the classes of SQLSTATE that may pass: connection exception, transaction rollback, insufficient
// resources, object not in prerequisite state (a lock), operator intervention (a restart). The state readOnly may pass too:
// after a failover, a connection may lead to a server that only reads yet.
var transientClasses = []string{"08", "40", "53", "55", "57"}

const readOnly = "25006"

func transient(err error) bool {
	// The interfaces spare this package an import of the drivers. A program needs only one of the drivers.
	var state interface{ SQLState() string } // of PostgreSQL's drivers
	if errors.As(err, &state) {
		s := state.SQLState()
		return s == readOnly || len(s) == 5 && slices.Contains(transientClasses, s[:2])
	}
	var code interface{ Code() int } // of SQLite's driver
	if errors.As(err, &code) {
		return busy(err)
	}
	// Everything else that can pass is not an error of the database: the connection has failed, or ctx has ended.
	// database/sql rolls a transaction back when its ctx ends, and a Commit behind that reports only sql.ErrTxDone.
	var network net.Error
	return errors.As(err, &network) || slices.ContainsFunc([]error{
		context.Canceled, context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, io.EOF, io.ErrUnexpectedEOF,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

// busy reports whether SQLite has refused a call because another connection uses the file.
func busy(err error) bool {
	var code interface{ Code() int }
	if !errors.As(err, &code) {
		return false
	}
	const busy, locked = 5, 6
	// The higher bits of an extended code only say more about the primary code.
	primary := code.Code() & 0xff
	return primary == busy || primary == locked
}

// syntax reports whether a database does not understand a statement.
func syntax(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState() == "42601"
	}
	return err != nil && strings.Contains(err.Error(), ": syntax error")
}

func noTable(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState() == "42P01"
	}
	// SQLite has no code of its own for a missing table: it reports the general code 1 for any faulty statement.
	return err != nil && strings.Contains(err.Error(), "no such table")
}
