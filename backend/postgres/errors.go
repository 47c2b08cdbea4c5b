package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/headrace/headrace/backend"
)

// transientClasses are the SQLSTATEs, or their beginnings, of transient errors: connection exception, transaction
// rollback, insufficient resources, object not in prerequisite state (a lock), operator intervention (a restart), and a
// read-only server, because after a failover a connection may lead to one.
var transientClasses = []string{"08", "40", "53", "55", "57", "25006"}

// classify adds the sentinel to an error of a statement. The statement changes nothing, or may be repeated whether it
// took effect or not.
func classify(ctx context.Context, err error) error {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return nil
	// pgx reports the end of ctx in several forms, among them a closed connection and a cancelled statement.
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	case errors.As(err, &pe):
		for _, class := range transientClasses {
			if strings.HasPrefix(pe.Code, class) {
				return fmt.Errorf("%w: %w", backend.ErrTransient, err)
			}
		}
		switch {
		case strings.HasPrefix(pe.Code, "28"), pe.Code == "42501": // authorization, privilege
			return fmt.Errorf("%w: %w", backend.ErrUnauthorized, err)
		case pe.Code == "42P01": // no such table
			return fmt.Errorf("%w (the tables of this package are gone: call postgres.Open)", err)
		}
		return err
	case isClosed(err):
		return fmt.Errorf("%w: %w", backend.ErrClosed, err)
	}
	return fmt.Errorf("%w: %w", backend.ErrTransient, err) // no error of the server, so the connection has failed
}

// stored classifies an error of an append. A transient error is also indeterminate. A resend is safe, because the
// database recognizes a resend by its seq.
func stored(ctx context.Context, err error) error {
	c := classify(ctx, err)
	if errors.Is(c, backend.ErrTransient) {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, c)
	}
	return c
}

// isClosed reports whether the caller has closed the pool. pgxpool has no error value for a closed pool, so we compare
// the text.
func isClosed(err error) bool { return strings.Contains(err.Error(), "closed pool") }
