package names_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/names"
)

func TestNamesThatS2DoesNotTakeAreRefused(t *testing.T) {
	const basin = "some-basin"
	for name, ok := range map[string]bool{
		"": false, "short": false, "exactly8": true, "Upper-case": false, "-hyphen-first": false, "hyphen-last-": false, "a/../b-c-d": false,
		strings.Repeat("x", 48): true, strings.Repeat("x", 49): false,
	} {
		if err := names.CheckBasin(name); (err == nil) != ok || err != nil && !errors.Is(err, backend.ErrRejected) {
			t.Errorf("basin %q: %v", name, err)
		}
		if err := names.CheckStream(name, "s"); (err == nil) != ok {
			t.Errorf("stream of basin %q: %v", name, err)
		}
	}
	for name, ok := range map[string]bool{
		"": false, ".": false, "..": false, "...": true, "a/b c?": true, "a\xff": false, strings.Repeat("x", 512): true, strings.Repeat("x", 513): false,
	} {
		if err := names.CheckStream(basin, name); (err == nil) != ok || err != nil && !errors.Is(err, backend.ErrRejected) {
			t.Errorf("stream %q: %v", name, err)
		}
	}
	secret := strings.Repeat("secret", 20)
	for id, ok := range map[string]bool{"": false, "..": false, "reader 1": true, "a\xff": false, strings.Repeat("x", 96): true, secret: false} {
		if err := names.CheckTokenID(id); (err == nil) != ok || err != nil && (!errors.Is(err, backend.ErrRejected) || strings.Contains(err.Error(), secret)) {
			t.Errorf("token %q: %v", id, err)
		}
	}
}
