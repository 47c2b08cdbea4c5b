package s2

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
	"github.com/headrace/headrace/internal/redact"
)

// An effect says what a failed request did, as far as its error tells. The effect is a property of the error alone. What the
// effect means for batches depends on the situation: see outcomes.
type effect int

const (
	effectRefused   effect = iota // the request had no effect, and a second attempt will fail too
	effectMisplaced               // the request had no effect, because another position is next
	effectLater                   // the request had no effect, and a second attempt may succeed
	effectFailed                  // the request may have had an effect, and a second attempt may succeed
	effectHopeless                // the request may have had an effect, and a second attempt will fail too
	effectBroken                  // the server broke the protocol
)

// A verdict holds everything an error says about its request.
type verdict struct {
	effect effect
	kind   error // the sentinel for the cause, or nil
}

// clean reports whether the request has certainly had no effect. The effects without any come first in the list, up to
// effectLater.
func (v verdict) clean() bool { return v.effect <= effectLater }

// retryable reports whether a later attempt may succeed.
func (v verdict) retryable() bool { return v.effect == effectLater || v.effect == effectFailed }

// verdicts is S2's own classification by code. Each code belongs to a status. We do not believe a code with another status,
// because a proxy may have made the answer.
var verdicts = map[string]struct {
	status int
	verdict
}{
	"bad_frame":               {400, verdict{effectRefused, nil}},
	"bad_header":              {400, verdict{effectRefused, nil}},
	"bad_json":                {400, verdict{effectRefused, nil}},
	"bad_path":                {400, verdict{effectRefused, nil}},
	"bad_proto":               {400, verdict{effectRefused, nil}},
	"bad_query":               {400, verdict{effectRefused, nil}},
	"decryption_failed":       {400, verdict{effectRefused, backend.ErrUnauthorized}},
	"authn":                   {401, verdict{effectRefused, backend.ErrUnauthorized}},
	"permission_denied":       {403, verdict{effectRefused, backend.ErrUnauthorized}},
	"quota_exhausted":         {403, verdict{effectRefused, backend.ErrUnauthorized}},
	"access_token_not_found":  {404, verdict{effectRefused, backend.ErrNotFound}},
	"basin_not_found":         {404, verdict{effectRefused, backend.ErrNotFound}},
	codeStreamNotFound:        {404, verdict{effectRefused, backend.ErrNotFound}},
	"request_timeout":         {408, verdict{effectFailed, nil}},
	"basin_deletion_pending":  {409, verdict{effectRefused, backend.ErrNotFound}},
	"stream_deletion_pending": {409, verdict{effectRefused, backend.ErrNotFound}},
	"resource_already_exists": {409, verdict{effectRefused, backend.ErrConflict}},
	"transaction_conflict":    {409, verdict{effectLater, nil}},
	CodeSeqNumMismatch:        {412, verdict{effectMisplaced, backend.ErrConflict}},
	CodeFencingTokenMismatch:  {412, verdict{effectRefused, backend.ErrFenced}},
	CodeRangeNotSatisfiable:   {416, verdict{effectRefused, backend.ErrOutOfRange}},
	"invalid":                 {422, verdict{effectRefused, backend.ErrRejected}},
	"rate_limited":            {429, verdict{effectLater, nil}},
	"client_hangup":           {499, verdict{effectHopeless, nil}},
	"other":                   {500, verdict{effectFailed, nil}},
	"storage":                 {500, verdict{effectFailed, nil}},
	"not_implemented":         {501, verdict{effectRefused, backend.ErrUnsupported}},
	"hot_server":              {502, verdict{effectLater, nil}},
	codeDraining:              {503, verdict{effectLater, nil}},
	"unavailable":             {503, verdict{effectFailed, nil}},
	"upstream_timeout":        {504, verdict{effectFailed, nil}},
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

// judge returns the verdict of an error of any kind. The order matters: an answer of the server says most, and counts even if the
// connection broke afterwards.
func judge(err error) verdict {
	if answer := new(Error); errors.As(err, &answer) {
		return judgeStatus(answer)
	}
	if errors.As(err, new(*ProtocolError)) {
		return verdict{effect: effectBroken}
	}
	// A redacted error hides its types, so the checks below look at the error behind.
	err = redact.Cause(err)
	if errors.Is(err, backend.ErrUnauthorized) { // an Auth said so, before anything was sent
		return verdict{effectRefused, backend.ErrUnauthorized}
	}
	// Any other failure is one of the network. The server may have got the request, unless nothing was sent. A wrong setting,
	// such as a certificate that the client does not trust, fails every time until somebody corrects the setting.
	return verdict{effect: effectOf(errors.As(err, new(*unsentError)), !misconfig.Due(err))}
}

func judgeStatus(e *Error) verdict {
	if v, ok := verdicts[e.Code]; ok && v.status == e.Status {
		return v.verdict
	}
	// A proxy in front of S2 sends statuses without S2's codes, for example 403 or 503.
	kind := kinds[e.Status]
	if kind != nil {
		return verdict{effectRefused, kind}
	}
	// A status below 500 says that the request had no effect. 408 and 499 are exceptions, as in the table of codes.
	clean := e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != 499
	return verdict{effect: effectOf(clean, slices.Contains(retryableStatus, e.Status))}
}

func effectOf(clean, retryable bool) effect {
	switch {
	case clean && retryable:
		return effectLater
	case clean:
		return effectRefused
	case retryable:
		return effectFailed
	}
	return effectHopeless
}

// A situation says what a failed request may have done. The same error is harmless for a batch that has not left, and leaves
// doubt about a batch that has.
type situation int

const (
	whenRepeatable situation = iota // the request stores nothing, or may be sent twice without harm
	whenIdle                        // an append session without batches in flight
	whenUnsent                      // an append session with batches in flight, all of them still in this process
	whenSent                        // an append: the records may be stored
	whenTraceable                   // as whenSent, with Exclusive: the next session finds out whether the records are stored
	whenResent                      // as whenTraceable, and an earlier session has sent the first batch too

	situations // how many there are
)

// An outcome says what to do about an error.
type outcome int

const (
	outcomeFinal     outcome = iota // nothing is stored, and a second attempt will fail too
	outcomeTransient                // nothing is stored, and a second attempt is safe
	outcomeUnknown                  // the records may be stored
	outcomeResend                   // the records may be stored, and a resend does not store them twice
)

// outcomes says what each effect means in each situation. A cell is Final or Transient only if nothing can be stored, now or
// later. In doubt a cell is Unknown: a producer with AtMostOnce must stop there, and every other producer sends the batch again.
//
// In row effectMisplaced, the last cell is special. The server may have stored the records of the earlier session since we read
// the tail, or may be about to store the records. Therefore the position need not belong to another writer, and the next session
// looks again.
var outcomes = map[effect][situations]outcome{
	// repeatable, idle, unsent, sent, traceable, resent
	effectRefused:   {outcomeFinal, outcomeFinal, outcomeFinal, outcomeFinal, outcomeFinal, outcomeFinal},
	effectMisplaced: {outcomeFinal, outcomeFinal, outcomeFinal, outcomeFinal, outcomeFinal, outcomeResend},
	effectLater:     {outcomeTransient, outcomeTransient, outcomeTransient, outcomeTransient, outcomeTransient, outcomeTransient},
	effectFailed:    {outcomeTransient, outcomeTransient, outcomeTransient, outcomeUnknown, outcomeResend, outcomeResend},
	effectHopeless:  {outcomeFinal, outcomeTransient, outcomeTransient, outcomeUnknown, outcomeResend, outcomeResend},
	effectBroken:    {outcomeFinal, outcomeFinal, outcomeTransient, outcomeUnknown, outcomeResend, outcomeResend},
}

// meaning wraps err in the sentinels for its outcome. err itself stays inside, with its text and its types, because an operator
// needs the cause and not only the advice.
func meaning(err error, s situation) error {
	v := judge(err)
	switch o := outcomes[v.effect][s]; {
	case o == outcomeTransient:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	case o == outcomeUnknown:
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	case o == outcomeResend:
		// Both sentinels: the producer may send the batch again although the batch may be stored, because the next session
		// recognizes the batch by its position.
		return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
	case v.kind != nil:
		return fmt.Errorf("%w: %w", v.kind, err)
	}
	return err
}

// repeatableMeaning returns the meaning of err for a request that stores nothing, or that may be sent twice without harm.
func repeatableMeaning(err error) error { return meaning(err, whenRepeatable) }

// failedCall is repeatableMeaning with the name of the package and the operation in front.
func failedCall(op string, err error) error {
	return fmt.Errorf("s2: %s: %w", op, repeatableMeaning(err))
}

// certainlyRefused reports whether err excludes both: records stored already, and records stored later. Only then may another
// batch have the seq: otherwise the server could store both batches.
func certainlyRefused(err error) bool {
	refused := errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
	return refused && !errors.Is(err, backend.ErrIndeterminate)
}
