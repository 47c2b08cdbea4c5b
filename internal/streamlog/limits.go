package streamlog

import (
	"fmt"
	"math"

	"github.com/headrace/headrace/backend"
)

// CompleteLimits returns the limits of a stream for what the options of a backend gave: 0 is the default, [math.MaxInt]
// is no limit, and a negative number is [backend.ErrRejected].
func CompleteLimits(given, defaults backend.Limits) (backend.Limits, error) {
	for _, l := range []struct {
		option       string
		given        *int
		defaultLimit int
	}{
		{"BatchRecords", &given.BatchRecords, defaults.BatchRecords},
		{"BatchBytes", &given.BatchBytes, defaults.BatchBytes},
		{"RecordBytes", &given.RecordBytes, defaults.RecordBytes},
		{"InFlight", &given.InFlight, defaults.InFlight},
	} {
		switch {
		case *l.given < 0:
			return given, fmt.Errorf("%s(%d): must not be negative: %w", l.option, *l.given, backend.ErrRejected)
		case *l.given == 0:
			*l.given = l.defaultLimit
		case *l.given == math.MaxInt:
			*l.given = 0 // backend.Limits knows no limit as 0
		}
	}
	return given, nil
}
