package s2

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/misconfig"
)

// The meaning of an error depends on the request: a read, an append, or an append session with batches in flight.
func TestAnErrorMeansWhatTheTableSays(t *testing.T) {
	coded := func(status int, code string) error { return &Error{Status: status, Code: code} }
	wrong := error(&misconfig.Error{Cause: misconfig.NoHTTP2, Err: errors.New("refused")})
	// A row has a word for the outcome in each column.
	columns := []situation{whenRepeatable, whenIdle, whenUnsent, whenSent, whenTraceable, whenResent}
	for _, row := range []struct {
		name string
		err  error
		want [6]string
	}{
		{"refused for good", coded(400, "bad_proto"), [6]string{"final", "final", "final", "final", "final", "final"}},
		{"refused, unknown code", coded(418, "teapot"), [6]string{"final", "final", "final", "final", "final", "final"}},
		{"refused for want of rights", coded(403, "permission_denied"), [6]string{"unauthorized", "unauthorized", "unauthorized", "unauthorized", "unauthorized", "unauthorized"}},
		{"no such stream", coded(404, "stream_not_found"), [6]string{"not found", "not found", "not found", "not found", "not found", "not found"}},
		{"rejected", coded(422, "invalid"), [6]string{"rejected", "rejected", "rejected", "rejected", "rejected", "rejected"}},
		{"fenced", coded(412, CodeFencingTokenMismatch), [6]string{"fenced", "fenced", "fenced", "fenced", "fenced", "fenced"}},
		{"another position is next", coded(412, CodeSeqNumMismatch), [6]string{"conflict", "conflict", "conflict", "conflict", "conflict", "transient unknown"}},
		{"not now", coded(429, "rate_limited"), [6]string{"transient", "transient", "transient", "transient", "transient", "transient"}},
		{"draining", coded(503, codeDraining), [6]string{"transient", "transient", "transient", "transient", "transient", "transient"}},
		{"failed", coded(500, "storage"), [6]string{"transient", "transient", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"code under another status", coded(500, "rate_limited"), [6]string{"transient", "transient", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"hung up", coded(499, "client_hangup"), [6]string{"final", "transient", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"strange server status", coded(507, ""), [6]string{"final", "transient", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"protocol broken", protocolErrorf("an ack for no batch"), [6]string{"final", "final", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"frame broken", &ProtocolError{&s2s.FormatError{}}, [6]string{"final", "final", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"connection lost", io.ErrUnexpectedEOF, [6]string{"transient", "transient", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"ended", errEnded, [6]string{"transient", "transient", "transient", "unknown", "transient unknown", "transient unknown"}},
		{"no connection", &unsentError{errors.New("refused")}, [6]string{"transient", "-", "-", "transient", "-", "-"}},
		{"wrong setting, no connection", &unsentError{wrong}, [6]string{"final", "-", "-", "final", "-", "-"}},
		{"wrong setting", wrong, [6]string{"final", "-", "-", "unknown", "-", "-"}},
		{"no access token", &unsentError{fmt.Errorf("access token: %w", backend.ErrUnauthorized)}, [6]string{"unauthorized", "-", "-", "unauthorized", "-", "-"}},
	} {
		for i, s := range columns {
			if row.want[i] == "-" {
				continue // the error does not occur on an open append session
			}
			if got := outcomeOf(meaning(row.err, s)); got != row.want[i] {
				t.Errorf("%s, situation %d: %s, want %s", row.name, s, got, row.want[i])
			}
		}
	}
}

// outcomeOf says in words which sentinels an error wraps.
func outcomeOf(err error) string {
	words := ""
	for _, kind := range []struct {
		err  error
		word string
	}{
		{backend.ErrTransient, "transient"}, {backend.ErrIndeterminate, "unknown"}, {backend.ErrUnauthorized, "unauthorized"},
		{backend.ErrNotFound, "not found"}, {backend.ErrRejected, "rejected"}, {backend.ErrFenced, "fenced"}, {backend.ErrConflict, "conflict"},
	} {
		if errors.Is(err, kind.err) {
			words += " " + kind.word
		}
	}
	if words == "" {
		return "final"
	}
	return words[1:]
}
