// Package names checks the names of S2's basins and streams. A wrong name in a URL would be the URL of something else.
package names

import (
	"fmt"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// CheckBasin refuses a name against the rules of S2 for basins.
func CheckBasin(name string) error {
	ok := len(name) >= 8 && len(name) <= 48 && name[0] != '-' && name[len(name)-1] != '-'
	for i := range len(name) {
		b := name[i]
		ok = ok && (b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-')
	}
	if !ok {
		return fmt.Errorf("basin name %q: want 8 to 48 of a-z, 0-9 and inner hyphens: %w", httpwire.Clip(name), backend.ErrRejected)
	}
	return nil
}

// CheckStream refuses names against the rules of S2 for streams and basins.
func CheckStream(basin, stream string) error {
	if err := CheckBasin(basin); err != nil {
		return err
	}
	if !segment(stream, 512) {
		return fmt.Errorf("stream name %q: want 1 to 512 bytes of UTF-8, not . or ..: %w", httpwire.Clip(stream), backend.ErrRejected)
	}
	return nil
}

// CheckTokenID refuses an ID against the rules of S2 for access tokens. The error does not repeat the ID, because a caller may have
// given the secret instead.
func CheckTokenID(id string) error {
	if !segment(id, 96) {
		return fmt.Errorf("access token ID of %d bytes: want 1 to 96 bytes of UTF-8, not . or ..: %w", len(id), backend.ErrRejected)
	}
	return nil
}

// segment reports whether s can be one segment of a URL's path. Proxies take "." and ".." for steps in the path, in
// whatever way they are escaped.
func segment(s string, most int) bool {
	return len(s) >= 1 && len(s) <= most && s != "." && s != ".." && utf8.ValidString(s)
}
