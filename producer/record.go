package producer

import (
	"time"

	"github.com/headrace/headrace/backend"
)

// A Record is a value with headers and a time. Headers and times are stored only by stores that keep them: other stores refuse
// records with headers and assign times of their own. The producer copies the headers.
type Record[T any] struct {
	Value   T
	Headers backend.Headers
	Time    time.Time // zero: the store assigns the time
}
