package redact_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/headrace/headrace/internal/redact"
)

const (
	secret = `hunter2"\ and more`
	bearer = "tok-0123456789"
)

func TestSecretsAreHiddenAsWholeTokens(t *testing.T) {
	for _, c := range []struct {
		secrets    redact.Secrets
		text, want string
	}{
		{redact.Secrets{bearer}, "Bearer " + bearer, "Bearer [hidden]"},
		{redact.Secrets{bearer}, bearer, "[hidden]"},
		{redact.Secrets{bearer}, "a " + bearer + ".", "a [hidden]."},
		{redact.Secrets{bearer}, "?token=" + bearer + "&x", "?token=[hidden]&x"},
		{redact.Secrets{bearer}, bearer + "," + bearer, "[hidden],[hidden]"},
		{redact.Secrets{bearer}, `malformed "x\n` + bearer + `\r"`, `malformed "x\n[hidden]\r"`},
		{redact.Secrets{bearer}, "q%20" + bearer + "%20", "q%20[hidden]%20"},
		{redact.Secrets{secret}, "of id:" + secret + "!", "of id:[hidden]!"},
		{redact.Secrets{secret}, `{"error":"hunter2\"\\ and more"}`, `{"error":"[hidden]"}`},
		{redact.Secrets{secret}, url.Values{"a": {secret}}.Encode(), "a=[hidden]"},
		{redact.Secrets{"abcdefgh", "abcdefgh+ijklmnop"}, "abcdefgh+ijklmnop", "[hidden]"},
		{redact.Secrets{"abcdefgh+ijklmnop", "ijklmnop+qrstuvwx"}, "abcdefgh+ijklmnop+qrstuvwx", "[hidden]"},
		{redact.Basic("id", "a password"), "Basic aWQ6YSBwYXNzd29yZA== of a password", "Basic [hidden] of [hidden]"},
		{redact.Authorization("Bearer " + bearer), "authorization: Bearer " + bearer, "authorization: [hidden]"},

		// Too short to be a secret, or a part of another word: the message stays.
		{redact.Secrets{"air", "token", "", "seven77"}, "main.air.readings: invalid token seven77", "main.air.readings: invalid token seven77"},
		{redact.Secrets{"readings"}, "all_readings readings2 pre-readings readings-x", "all_readings readings2 pre-readings readings-x"},
		{redact.Secrets{"readings"}, "größereadings readingsß", "größereadings readingsß"},
		{redact.Secrets{"readings"}, "readings2 and readings", "readings2 and [hidden]"},
		{nil, "nothing", "nothing"},
	} {
		if got := c.secrets.Text(c.text); got != c.want {
			t.Errorf("%q in %q: got %q, want %q", []string(c.secrets), c.text, got, c.want)
		}
	}
}

func TestCodesAreNotChanged(t *testing.T) {
	for _, code := range []string{"stream_not_found", "SCHEMA_VALIDATION_FAILED", "8001", "invalid_client", ""} {
		s := redact.Secrets{code, "not_found", "VALIDATION"}
		if got := s.Code(code); got != code {
			t.Errorf("%q became %q", code, got)
		}
	}
	s := redact.Secrets{bearer, "deadbeef00112233", "Abcdefghijkl", "aVeryLongWord"}
	for _, code := range []string{bearer, "of " + bearer, "deadbeef00112233", "Abcdefghijkl", "aVeryLongWord"} {
		if got := s.Code(code); !strings.HasSuffix(got, "[hidden]") {
			t.Errorf("%q is no code and stayed %q", code, got)
		}
	}
}

func TestAnErrorKeepsItsMeaning(t *testing.T) {
	s := redact.Secrets{bearer}
	plain := errors.New("nothing in it")
	if got := s.Error(plain); got != plain || redact.Cause(got) != plain {
		t.Errorf("%v is not the same error", got)
	}
	if s.Error(nil) != nil {
		t.Error("an error of nothing")
	}
	with := &url.Error{Op: http.MethodGet, URL: "http://h/?" + bearer, Err: io.ErrUnexpectedEOF}
	err := s.Error(with)
	if strings.Contains(err.Error(), bearer) || !errors.Is(err, io.ErrUnexpectedEOF) || redact.Cause(err) != error(with) {
		t.Errorf("got %v", err)
	}
	if errors.Unwrap(err) != nil || errors.As(err, new(*url.Error)) {
		t.Error("what is in the error has the secret")
	}
}
