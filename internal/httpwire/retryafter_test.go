package httpwire_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/internal/httpwire"
)

func TestRetryAfterReadsEveryFormAndBelievesAnHourAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for _, c := range []struct {
			ms, after string
			want      time.Duration
		}{
			{"", "", 0},
			{"", "7", 7 * time.Second},
			{"", "0", 0},
			{"", "-1", 0},
			{"", "3600", time.Hour},
			{"", "3601", time.Hour},
			{"", "9223372036854775807", time.Hour},
			{"", "99999999999999999999", 0}, // no number of seconds that we can read, and no date
			{"", "soon", 0},
			{"", date(90 * time.Second), 90 * time.Second},
			{"", date(-time.Minute), 0},
			{"", date(365 * 24 * time.Hour), time.Hour},
			{"250", "", 250 * time.Millisecond},
			{"250", "7", 250 * time.Millisecond},
			{"0", "7", 7 * time.Second},
			{"-5", "7", 7 * time.Second},
			{"many", "7", 7 * time.Second},
			{"9223372036854775807", "", time.Hour},
		} {
			h := http.Header{}
			h.Set("Retry-After-Ms", c.ms)
			h.Set("Retry-After", c.after)
			if got := httpwire.RetryAfter(h); got != c.want {
				t.Errorf("Retry-After-Ms %q, Retry-After %q: got %v, want %v", c.ms, c.after, got, c.want)
			}
		}
	})
}
