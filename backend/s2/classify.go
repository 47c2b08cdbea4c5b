package s2

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
	"github.com/headrace/headrace/internal/redact"
)

// A verdict is what an error says about the request it answers.
type verdict struct {
	kind      error // a sentinel that says what is wrong; nil when time may mend it, or nobody knows
	retryable bool
	clean     bool // certainly without side effects
}

// verdicts are S2's own classification by code, each with the status that goes with it. Under another status a code is
// not believed: a proxy may have made the answer.
var verdicts = map[string]struct {
	status int
	verdict
}{
	"bad_frame":               {400, verdict{clean: true}},
	"bad_header":              {400, verdict{clean: true}},
	"bad_json":                {400, verdict{clean: true}},
	"bad_path":                {400, verdict{clean: true}},
	"bad_proto":               {400, verdict{clean: true}},
	"bad_query":               {400, verdict{clean: true}},
	"decryption_failed":       {400, verdict{kind: backend.ErrUnauthorized, clean: true}},
	"authn":                   {401, verdict{kind: backend.ErrUnauthorized, clean: true}},
	"permission_denied":       {403, verdict{kind: backend.ErrUnauthorized, clean: true}},
	"quota_exhausted":         {403, verdict{kind: backend.ErrUnauthorized, clean: true}},
	"access_token_not_found":  {404, verdict{kind: backend.ErrNotFound, clean: true}},
	"basin_not_found":         {404, verdict{kind: backend.ErrNotFound, clean: true}},
	"stream_not_found":        {404, verdict{kind: backend.ErrNotFound, clean: true}},
	"request_timeout":         {408, verdict{retryable: true}},
	"basin_deletion_pending":  {409, verdict{kind: backend.ErrNotFound, clean: true}},
	"stream_deletion_pending": {409, verdict{kind: backend.ErrNotFound, clean: true}},
	"resource_already_exists": {409, verdict{kind: backend.ErrConflict, clean: true}},
	"transaction_conflict":    {409, verdict{retryable: true, clean: true}},
	CodeSeqNumMismatch:        {412, verdict{kind: backend.ErrConflict, clean: true}},
	CodeFencingTokenMismatch:  {412, verdict{kind: backend.ErrFenced, clean: true}},
	CodeRangeNotSatisfiable:   {416, verdict{kind: backend.ErrOutOfRange, clean: true}},
	"invalid":                 {422, verdict{kind: backend.ErrRejected, clean: true}},
	"rate_limited":            {429, verdict{retryable: true, clean: true}},
	"client_hangup":           {499, verdict{}},
	"other":                   {500, verdict{retryable: true}},
	"storage":                 {500, verdict{retryable: true}},
	"not_implemented":         {501, verdict{kind: backend.ErrUnsupported, clean: true}},
	"hot_server":              {502, verdict{retryable: true, clean: true}},
	codeDraining:              {503, verdict{retryable: true, clean: true}},
	"unavailable":             {503, verdict{retryable: true}},
	"upstream_timeout":        {504, verdict{retryable: true}},
}

// retryableStatus are those that may pass, when the code does not say.
var retryableStatus = []int{408, 429, 500, 502, 503, 504}

// judge classifies an error of any kind.
func judge(err error) verdict {
	var se *Error
	if errors.As(err, &se) {
		if v, ok := verdicts[se.Code]; ok && v.status == se.Status {
			return v.verdict
		}
		v := verdict{
			retryable: slices.Contains(retryableStatus, se.Status),
			clean:     se.Status < 500 && se.Status != 408 && se.Status != 499,
		}
		switch se.Status {
		case 401, 403:
			v.kind = backend.ErrUnauthorized
		case 404:
			v.kind = backend.ErrNotFound
		case 412:
			v.kind = backend.ErrConflict
		case 416:
			v.kind = backend.ErrOutOfRange
		case 413:
			v.kind = backend.ErrTooLarge
		case 422:
			v.kind = backend.ErrRejected
		case 501:
			v.kind = backend.ErrUnsupported
		}
		return v
	}
	var pe *ProtocolError
	if errors.As(err, &pe) {
		return verdict{}
	}
	err = redact.Cause(err)
	if errors.Is(err, backend.ErrUnauthorized) { // said by an Auth
		return verdict{kind: backend.ErrUnauthorized, clean: true}
	}
	var unsent *unsentError
	return verdict{retryable: !misconfig.Due(err), clean: errors.As(err, &unsent)}
}

// harmless classifies the error of a call that stores nothing, or that may be repeated whatever became of it.
func harmless(err error) error {
	v := judge(err)
	switch {
	case v.kind != nil:
		return fmt.Errorf("%w: %w", v.kind, err)
	case v.retryable:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return err
}

// storing classifies the error of a request that stores records.
func storing(err error) error { return judge(err).storing(err) }

func (v verdict) storing(err error) error {
	switch {
	case v.kind != nil:
		return fmt.Errorf("%w: %w", v.kind, err)
	case !v.clean:
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	case v.retryable:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return err
}
