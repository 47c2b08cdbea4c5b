package httpwire_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/internal/httpwire"
)

func TestClipKeepsAShortTextAndCutsALongOneBetweenCharacters(t *testing.T) {
	whole := strings.Repeat("x", httpwire.TextBytes)
	if got := httpwire.Clip(whole); got != whole {
		t.Errorf("a text of %d bytes was changed to one of %d", len(whole), len(got))
	}
	got := httpwire.Clip(whole[1:] + "é and more")
	if got != whole[1:]+"…" || !utf8.ValidString(got) {
		t.Errorf("got %d bytes, ending %q", len(got), got[len(got)-8:])
	}
}
