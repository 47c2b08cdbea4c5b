package httpwire_test

import (
	"testing"

	"github.com/headrace/headrace/internal/httpwire"
)

func TestWhatAHeaderMayHold(t *testing.T) {
	type row struct{ name, value, printable, bearer bool }
	for text, want := range map[string]row{
		"":              {false, true, true, false},
		"X-Token":       {true, true, true, true},
		"!#$%&'*+-.^_`": {true, true, true, true},
		"a b":           {false, true, true, false},
		"a:b":           {false, true, true, true},
		"tab\there":     {false, true, false, false},
		"line\n":        {false, false, false, false},
		"\r":            {false, false, false, false},
		"nul\x00":       {false, false, false, false},
		"del\x7f":       {false, false, false, false},
		"é":             {false, true, false, false},
		"\xff":          {false, true, false, false},
	} {
		got := row{httpwire.HeaderName(text), httpwire.HeaderValue(text), httpwire.Printable(text), httpwire.BearerToken(text)}
		if got != want {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}
