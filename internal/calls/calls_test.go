package calls_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/headrace/headrace/internal/calls"
)

func TestCallsAreCountedByNameAndStatus(t *testing.T) {
	var c calls.Counter
	for range 3 {
		c.Begin()
	}
	c.End("append", "200")
	c.End("append", "200")
	ended, open := c.Counts()
	if want := (map[calls.Call]int64{{Name: "append", Status: "200"}: 2}); !maps.Equal(ended, want) || open != 1 {
		t.Errorf("%v, %d open", ended, open)
	}
	ended[calls.Call{Name: "append", Status: "200"}] = 7
	if again, _ := c.Counts(); again[calls.Call{Name: "append", Status: "200"}] != 2 {
		t.Errorf("the caller changed the counter: %v", again)
	}
}

func TestResponseRemembersTheStatusThatTheClientSees(t *testing.T) {
	for want, handler := range map[string]func(w http.ResponseWriter){
		"200": func(http.ResponseWriter) {},
		"204": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"409": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusContinue)
			w.WriteHeader(http.StatusConflict)
			w.WriteHeader(http.StatusOK)
		},
	} {
		r := calls.Response{ResponseWriter: httptest.NewRecorder()}
		handler(&r)
		if got := r.Status(true); got != want {
			t.Errorf("status %s, want %s", got, want)
		}
		if got := r.Status(false); got != calls.Cut {
			t.Errorf("status %s of an answer that was cut", got)
		}
	}
}
