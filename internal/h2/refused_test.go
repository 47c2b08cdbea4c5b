package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

func TestRefusedRequestIsToldFromOtherResets(t *testing.T) {
	if _, _, _, err := play(t, number(frameResetStream, 1, 7)); !errors.Is(err, ErrRefused) {
		t.Errorf("error code 7 gave %v", err)
	}
	if _, _, _, err := play(t, number(frameResetStream, 1, 2)); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("error code 2 gave %v", err)
	}
}

// The other end of the pipe reads nothing before its SETTINGS have left.
func TestPatientRequestFollowsTheAckOfTheSettings(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	var seen []http2.FrameType
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			fr := http2.NewFramer(theirs, theirs)
			if err := fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}); err != nil {
				return err
			}
			if _, err := io.ReadFull(theirs, make([]byte, len(preface))); err != nil {
				return err
			}
			for len(seen) < 4 {
				f, err := fr.ReadFrame()
				if err != nil {
					return err
				}
				seen = append(seen, f.Header().Type)
			}
			_, err := theirs.Write(bytes.Join([][]byte{ok, text(flagEndStream, "hello")}, nil))
			return err
		}()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://h2.test/", bytes.NewReader([]byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	s, res, err := DoAfterSettings(ours, req, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := []http2.FrameType{http2.FrameSettings, http2.FrameSettings, http2.FrameHeaders, http2.FrameData}
	for i := range want {
		if seen[i] != want[i] {
			t.Fatalf("the frames were %v, want %v", seen, want)
		}
	}
}

func TestPatientRequestFailsWithItsConnection(t *testing.T) {
	for name, frames := range map[string][][]byte{"at once": {}, "with an answer": {ok}} {
		c := new(script)
		c.in.Reset(bytes.Join(frames, nil))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://h2.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := DoAfterSettings(c, req, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
