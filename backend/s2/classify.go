package s2

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
	"github.com/headrace/headrace/internal/redact"
)

// An event is what happened to a failed request.
type event int

const (
	refused   event = iota // the request had no effect, and a second attempt will fail too
	misplaced              // the request had no effect, because another position is next
	later                  // the request had no effect, and a second attempt may succeed
	failed                 // the request may have had an effect, and a second attempt may succeed
	hopeless               // the request may have had an effect, and a second attempt will fail too
	broken                 // the server broke the protocol
)

// A verdict holds everything an error says about its request.
type verdict struct {
	event event
	kind  error // the sentinel for the cause, or nil
}

// clean reports whether the request has certainly had no effect.
func (v verdict) clean() bool { return v.event <= later }

// retryable reports whether a later attempt may succeed.
func (v verdict) retryable() bool { return v.event == later || v.event == failed }

// verdicts is S2's own classification by code. Each code belongs to a status. We do not believe a code with another status,
// because a proxy may have made the answer.
var verdicts = map[string]struct {
	status int
	verdict
}{
	"bad_frame":               {400, verdict{refused, nil}},
	"bad_header":              {400, verdict{refused, nil}},
	"bad_json":                {400, verdict{refused, nil}},
	"bad_path":                {400, verdict{refused, nil}},
	"bad_proto":               {400, verdict{refused, nil}},
	"bad_query":               {400, verdict{refused, nil}},
	"decryption_failed":       {400, verdict{refused, backend.ErrUnauthorized}},
	"authn":                   {401, verdict{refused, backend.ErrUnauthorized}},
	"permission_denied":       {403, verdict{refused, backend.ErrUnauthorized}},
	"quota_exhausted":         {403, verdict{refused, backend.ErrUnauthorized}},
	"access_token_not_found":  {404, verdict{refused, backend.ErrNotFound}},
	"basin_not_found":         {404, verdict{refused, backend.ErrNotFound}},
	"stream_not_found":        {404, verdict{refused, backend.ErrNotFound}},
	"request_timeout":         {408, verdict{failed, nil}},
	"basin_deletion_pending":  {409, verdict{refused, backend.ErrNotFound}},
	"stream_deletion_pending": {409, verdict{refused, backend.ErrNotFound}},
	"resource_already_exists": {409, verdict{refused, backend.ErrConflict}},
	"transaction_conflict":    {409, verdict{later, nil}},
	CodeSeqNumMismatch:        {412, verdict{misplaced, backend.ErrConflict}},
	CodeFencingTokenMismatch:  {412, verdict{refused, backend.ErrFenced}},
	CodeRangeNotSatisfiable:   {416, verdict{refused, backend.ErrOutOfRange}},
	"invalid":                 {422, verdict{refused, backend.ErrRejected}},
	"rate_limited":            {429, verdict{later, nil}},
	"client_hangup":           {499, verdict{hopeless, nil}},
	"other":                   {500, verdict{failed, nil}},
	"storage":                 {500, verdict{failed, nil}},
	"not_implemented":         {501, verdict{refused, backend.ErrUnsupported}},
	"hot_server":              {502, verdict{later, nil}},
	codeDraining:              {503, verdict{later, nil}},
	"unavailable":             {503, verdict{failed, nil}},
	"upstream_timeout":        {504, verdict{failed, nil}},
}

// The statuses decide where the code does not.
var (
	kinds = map[int]error{
		401: backend.ErrUnauthorized,
		403: backend.ErrUnauthorized,
		404: backend.ErrNotFound,
		412: backend.ErrConflict,
		413: backend.ErrTooLarge,
		416: backend.ErrOutOfRange,
		422: backend.ErrRejected,
		501: backend.ErrUnsupported,
	}
	retryableStatus = []int{408, 429, 500, 502, 503, 504}
)

// judge returns the verdict of an error of any kind.
func judge(err error) verdict {
	if answer := new(Error); errors.As(err, &answer) {
		return judgeStatus(answer)
	}
	if errors.As(err, new(*ProtocolError)) {
		return verdict{event: broken}
	}
	err = redact.Cause(err)
	if errors.Is(err, backend.ErrUnauthorized) { // an Auth said so, before anything was sent
		return verdict{refused, backend.ErrUnauthorized}
	}
	return verdict{event: eventOf(errors.As(err, new(*unsentError)), !misconfig.Due(err))}
}

func judgeStatus(e *Error) verdict {
	if v, ok := verdicts[e.Code]; ok && v.status == e.Status {
		return v.verdict
	}
	kind := kinds[e.Status]
	if kind != nil {
		return verdict{refused, kind}
	}
	clean := e.Status < 500 && e.Status != 408 && e.Status != 499
	return verdict{event: eventOf(clean, slices.Contains(retryableStatus, e.Status))}
}

func eventOf(clean, retryable bool) event {
	switch {
	case clean && retryable:
		return later
	case clean:
		return refused
	case retryable:
		return failed
	}
	return hopeless
}

// A situation says what a failed request may have done.
type situation int

const (
	repeatable situation = iota // the request stores nothing, or may be sent twice without harm
	idle                        // an append session without batches in flight
	unsent                      // an append session with batches in flight, all of them still in this process
	sent                        // an append: the records may be stored
	traceable                   // as sent, with Exclusive: the next session finds out whether the records are stored
	resent                      // as traceable, and an earlier session has sent the first batch too
)

// An outcome says what to do about an error.
type outcome int

const (
	final     outcome = iota // nothing is stored, and a second attempt will fail too
	transient                // nothing is stored, and a second attempt is safe
	unknown                  // the records may be stored
	resend                   // the records may be stored, and a resend does not store them twice
)

// outcomes says what each event means in each situation.
//
// In row misplaced, the last cell is special. The server may have stored the records of the earlier session since we read the
// tail, or may be about to store the records. Therefore the position need not belong to another writer, and the next session
// looks again.
var outcomes = map[event][6]outcome{
	//         repeatable idle       unsent     sent     traceable resent
	refused:   {final, final, final, final, final, final},
	misplaced: {final, final, final, final, final, resend},
	later:     {transient, transient, transient, transient, transient, transient},
	failed:    {transient, transient, transient, unknown, resend, resend},
	hopeless:  {final, transient, transient, unknown, resend, resend},
	broken:    {final, final, transient, unknown, resend, resend},
}

// meaning wraps err in the sentinels for its outcome.
func meaning(err error, s situation) error {
	v := judge(err)
	switch o := outcomes[v.event][s]; {
	case o == transient:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	case o == unknown:
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	case o == resend:
		return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
	case v.kind != nil:
		return fmt.Errorf("%w: %w", v.kind, err)
	}
	return err
}

// harmless is the meaning of err for a request without harm in a second attempt.
func harmless(err error) error { return meaning(err, repeatable) }

// certainlyRefused reports whether err excludes both: records stored already, and records stored later.
func certainlyRefused(err error) bool {
	refused := errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
	return refused && !errors.Is(err, backend.ErrIndeterminate)
}
