package postgres

import (
	"math"
	"strings"
	"testing"
	"time"
)

// The pool is nil too. Open must name the wrong option nevertheless, because it checks the options first.
func TestOpenRefusesAWrongOption(t *testing.T) {
	for text, o := range map[string]Option{
		"an option is nil": nil, "Poll(-1s)": Poll(-time.Second), "RecordBytes(-2)": RecordBytes(-2),
	} {
		if _, err := Open(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAZeroIsTheDefaultOfAnOption(t *testing.T) {
	for name, c := range map[string]struct {
		opts []Option
		want config
	}{
		"none":           {nil, config{time.Second, 1 << 20}},
		"zeros":          {[]Option{Poll(0), RecordBytes(0)}, config{time.Second, 1 << 20}},
		"least values":   {[]Option{Poll(1), RecordBytes(1)}, config{time.Millisecond, 1}},
		"largest values": {[]Option{Poll(math.MaxInt64), RecordBytes(math.MaxInt)}, config{math.MaxInt64, math.MaxInt}},
	} {
		if got, err := complete(c.opts); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}
