package h2

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/internal/misconfig"
)

type sender func(*script, *http.Request) (*Stream, *http.Response, error)

// sized sends a request with a header of so many bytes. The server has sent frames in advance.
func sized(t *testing.T, do sender, bytesOfHeader int, frames ...[]byte) (*script, *http.Response, error) {
	t.Helper()
	c := new(script)
	c.in.Reset(bytes.Join(frames, nil))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://s2.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", strings.Repeat("~", bytesOfHeader)) // Huffman's code would make no byte of it shorter
	s, res, err := do(c, req)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return c, res, err
}

// Whoever tries such a request again fails again.
func TestHeadersThatTheServerDoesNotTakeAreAWrongSetting(t *testing.T) {
	now := func(c *script, req *http.Request) (*Stream, *http.Response, error) { return Do(c, req, 0) }
	patient := func(c *script, req *http.Request) (*Stream, *http.Response, error) { return DoAfterSettings(c, req, 0) }
	for name, test := range map[string]struct {
		do     sender
		size   int
		frames [][]byte
		want   string // of the error; "": the response is read
	}{
		"more than a frame":             {now, leastMaxFrame, nil, "at most 16384 are allowed"},
		"more than the setting":         {now, 1000, [][]byte{setting(settingMaxHeaders, 1000), ok}, "at most 1000 are allowed"},
		"more than the setting, behind": {patient, 1000, [][]byte{setting(settingMaxHeaders, 1000), ok}, "at most 1000 are allowed"},
		"as much as the setting":        {patient, 1000, [][]byte{setting(settingMaxHeaders, 1500), ok, text(flagEndStream, "")}, ""},
		"a setting behind the response": {now, 1000, [][]byte{ok, setting(settingMaxHeaders, 1000), text(flagEndStream, "")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, res, err := sized(t, test.do, test.size, test.frames...)
			if test.want == "" {
				if err == nil {
					_, err = io.ReadAll(res.Body)
				}
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			var sign *misconfig.Sign
			if !errors.As(err, &sign) || sign.Cause != misconfig.LongHeaders || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q as a wrong setting", err, test.want)
			}
			if test.frames == nil && c.out.Len() > 0 {
				t.Errorf("%d bytes were sent", c.out.Len())
			}
		})
	}
}
