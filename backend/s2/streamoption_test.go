package s2_test

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestWrongStreamOptionsAreRefusedByEveryOperation(t *testing.T) {
	c := dial(t, s2test.New(t, s2test.Basin(basinName, true)))
	for says, o := range map[string]s2.StreamOption{"nil": nil, "InFlight(-1)": s2.InFlight(-1), "Silence(-1ns)": s2.Silence(-1)} {
		st := c.Basin(basinName).Stream("s", o)
		for i, err := range append(said(t, st), st.Trim(t.Context(), "0")) {
			if want(t, err, backend.ErrRejected); !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), basinName+"/s") {
				t.Errorf("call %d: %v, which does not name %s and the stream", i, err, says)
			}
		}
	}
	st := c.Basin(basinName).Stream("s", s2.InFlight(0), s2.Silence(0))
	if n := st.NewAppender(backend.Format{}).Limits().InFlight; n != 64 {
		t.Errorf("InFlight(0) allows %d, want the default", n)
	}
	put(t, st, "x")
}
