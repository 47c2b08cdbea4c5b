package zerobus_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

func TestCredentialsGoOverPlainHTTPToNoOtherMachine(t *testing.T) {
	asked := func(*http.Request) (*http.Response, error) {
		t.Error("the secret was sent")
		return nil, errors.New("no network here")
	}
	client := zerobus.HTTP(&http.Client{Transport: roundTripper(asked)})
	for name, c := range map[string]zerobus.Config{
		"token endpoint": {Endpoint: "https://127.0.0.1:1", UnityCatalog: "http://example.cloud.databricks.com", ClientID: "id", ClientSecret: secret},
		"service":        {Endpoint: "http://1.zerobus.example.com", UnityCatalog: "https://127.0.0.1:1", ClientID: "id", ClientSecret: secret},
	} {
		err := openWith(t, c, client)
		if wantIs(t, err, backend.ErrRejected); err == nil || !strings.Contains(err.Error(), "https://") {
			t.Errorf("%s: %v does not say what to do", name, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// net/http keeps the credentials when a redirect leads to another port or scheme of the same host.
func TestARedirectDoesNotTakeTheSecretToPlainHTTP(t *testing.T) {
	asked := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "http" {
			t.Error("the secret was sent")
		}
		w := httptest.NewRecorder()
		http.Redirect(w, r, "http://example.cloud.databricks.com/oidc/v1/token", http.StatusTemporaryRedirect)
		return w.Result(), nil
	})
	c := zerobus.Config{Endpoint: "https://127.0.0.1:1", UnityCatalog: "https://example.cloud.databricks.com", ClientID: "id", ClientSecret: secret}
	err := openWith(t, c, zerobus.HTTP(&http.Client{Transport: asked}))
	wantIs(t, err, backend.ErrRejected)
}

func TestAMissingGrantIsTold(t *testing.T) {
	const why = "User does not have MODIFY on Table 'main.air.readings'"
	srv := serve(t)
	srv.InjectToken(zerobustest.TokenFault{Status: 403, Body: `{"error":"access_denied","error_description":"` + why + ` for ` + "wholeSecret" + `"}`})
	c := config(srv)
	c.ClientSecret = "wholeSecret"
	err := openWith(t, c)
	wantIs(t, err, backend.ErrUnauthorized)
	var refused *zerobus.TokenError
	if !errors.As(err, &refused) || refused.Description != why+" for [hidden]" || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v", err)
	}
}

// A JSON value without keys has no columns. The meter refuses the value before it can end the stream for other rows.
func TestARowOfAJSONStreamIsAnObject(t *testing.T) {
	size := clientOf(config(serve(t))).Table(table).NewAppender(jsonFormat).Limits().Size
	for _, v := range []string{`"text"`, `1`, `null`, `[{}]`, ``, ` `} {
		if _, err := size([]byte(v), nil, time.Time{}); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q: %v, want ErrRejected", v, err)
		}
	}
	for _, v := range []string{`{}`, " \r\n\t{}"} {
		if n, err := size([]byte(v), nil, time.Time{}); err != nil || n != len(v) {
			t.Errorf("%q: %d, %v", v, n, err)
		}
	}
	_, err := size([]byte(`{}`), backend.Headers{{Name: "a"}}, time.Time{})
	wantIs(t, err, backend.ErrRejected)
}
