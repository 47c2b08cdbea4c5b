package zerobus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/misconfig"
	"github.com/headrace/headrace/internal/redact"
)

// tokenBytes bounds what is read of an answer of the token endpoint.
const tokenBytes = 1 << 20

// A TokenError is a failure of the token endpoint. It comes wrapped: what may work later, which is a network that fails,
// a status of 500 or more, and 429, beside [backend.ErrTransient], a request that cannot be made beside
// [backend.ErrRejected], and anything else beside [backend.ErrUnauthorized].
type TokenError struct {
	Status int    // of HTTP; 0 if there was no answer
	Code   string // of OAuth, such as invalid_client; empty if the answer has none

	// Description is what the endpoint says to people, such as which privilege is missing on which table; empty if the
	// answer has none.
	Description string

	Err error

	after time.Duration
}

// Error says what the endpoint answered, in short.
func (e *TokenError) Error() string {
	s := "token endpoint"
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Code != "" {
		s += ": " + httpwire.Clip(e.Code)
	}
	if e.Description != "" {
		s += ": " + httpwire.Clip(e.Description)
	}
	if e.Err != nil {
		s += ": " + httpwire.Clip(e.Err.Error())
	}
	return s
}

// Unwrap returns what went wrong on the way, nil where the endpoint refused in so many words.
func (e *TokenError) Unwrap() error { return e.Err }

// RetryAfter is how long the endpoint asks to wait, at most an hour; 0 if it does not say.
func (e *TokenError) RetryAfter() time.Duration { return e.after }

// A privilege is one of the authorization details that a token is asked for.
type privilege struct {
	Type       string   `json:"type"`
	ObjectType string   `json:"object_type"`
	Path       string   `json:"object_full_path"`
	Privileges []string `json:"privileges"`
	Operations []string `json:"operations,omitempty"`
}

// privileges are all that writing to one table takes, and no more.
func privileges(table string) (string, error) {
	const kind = "unity_catalog_privileges"
	parts := strings.Split(table, ".")
	b, err := json.Marshal([]privilege{
		{kind, "CATALOG", parts[0], []string{"USE CATALOG"}, nil},
		{kind, "SCHEMA", parts[0] + "." + parts[1], []string{"USE SCHEMA"}, nil},
		{kind, "TABLE", table, []string{"SELECT", "MODIFY"}, []string{"zerobuswrite"}},
	})
	return string(b), err
}

// mint asks the token endpoint once.
func (c *Client) mint(ctx context.Context, table string) (*token, error) {
	details, err := privileges(table)
	if err != nil {
		return nil, err
	}
	id, secret := c.place.clientID, c.secret()
	conf := clientcredentials.Config{
		ClientID: id, ClientSecret: secret,
		TokenURL: c.place.catalog + "/oidc/v1/token",
		Scopes:   []string{"all-apis"},
		EndpointParams: url.Values{
			"resource":              {"api://databricks/workspaces/" + c.place.id + "/zerobusDirectWriteApi"},
			"authorization_details": {details},
		},
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	began := time.Now()
	wire, shut := c.tokenClient()
	defer shut()
	exchange := &tokenExchange{base: wire.Transport, id: id, secret: secret}
	wire.Transport = exchange
	t, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, &wire))
	if err != nil {
		return nil, exchange.classify(ctx, err)
	}
	// The life of a token began when it was asked for at the latest. What is known is how long it is from the answer on.
	life := time.Until(t.Expiry).Round(time.Second)
	if life <= 0 { // absent, 0 or less
		return &token{value: t.AccessToken}, nil // used once
	}
	minted := &token{value: t.AccessToken, expires: began.Add(life), life: life}
	if !minted.valid(time.Now()) {
		return nil, fmt.Errorf("%w: %w", backend.ErrTransient, &TokenError{Status: exchange.status, Err: errors.New("the token has expired on its way")})
	}
	return minted, nil
}

// tokenClient returns a copy of the HTTP client to use, and what lets go of it. A token lasts about an hour, so there is
// no connection worth keeping.
func (c *Client) tokenClient() (client http.Client, shut func()) {
	if h := c.cfg.http; h != nil {
		client = *h
		if client.Transport == nil {
			client.Transport = http.DefaultTransport
		}
		return client, func() {}
	}
	t := &http.Transport{
		Proxy:             discreet(http.ProxyFromEnvironment),
		ForceAttemptHTTP2: true, // with TLSClientConfig too; a gRPC server then says that it makes no tokens
		DisableKeepAlives: true,
	}
	if c.cfg.tls != nil {
		t.TLSClientConfig = c.cfg.tls.Clone()
	}
	return http.Client{Transport: t}, t.CloseIdleConnections
}

// discreet keeps the text of a proxy variable, which may hold a password, out of what is said of it.
func discreet(lookup func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := lookup(r)
		if err != nil {
			return nil, errProxy
		}
		return u, nil
	}
}

// A tokenExchange is the transport of one request. It writes the credentials as the endpoint reads them, which is not
// escaped as oauth2 does it, and keeps what errors of oauth2 do not tell.
type tokenExchange struct {
	base       http.RoundTripper
	id, secret string

	status int
	after  time.Duration
	broken error // the exchange did not come to its end
}

func (x *tokenExchange) RoundTrip(req *http.Request) (*http.Response, error) {
	again := req.Clone(req.Context())
	if again.Header.Get("Authorization") != "" { // a redirect elsewhere has lost it, for good reason
		if !confidential(again.URL) {
			// net/http keeps the header when a redirect leads from https to http of the same host.
			x.broken = errPlaintext
			return nil, errPlaintext
		}
		again.SetBasicAuth(x.id, x.secret)
	}
	again.Header.Set("Accept", "*/*")
	res, err := x.base.RoundTrip(again)
	if err != nil {
		x.broken = err
		return nil, err
	}
	x.status, x.after = res.StatusCode, httpwire.RetryAfter(res.Header)
	body, err := io.ReadAll(io.LimitReader(res.Body, tokenBytes))
	_ = res.Body.Close()
	if err != nil {
		x.broken = err
		return nil, err
	}
	res.Header.Set("Content-Type", "application/json") // anything else oauth2 would take for a form
	res.Body = io.NopCloser(bytes.NewReader(lifetime(body)))
	return res, nil
}

// lifetime makes of expires_in what oauth2 reads: whole seconds, in quotes or not. What is anything else promises nothing, so
// it is left out; a failure would throw away a token that is good.
func lifetime(body []byte) []byte {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil || answer["expires_in"] == nil {
		return body
	}
	seconds, err := strconv.ParseInt(strings.Trim(string(answer["expires_in"]), `"`), 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		answer["expires_in"] = json.RawMessage(strconv.FormatInt(min(seconds, math.MaxInt32), 10))
	} else {
		delete(answer, "expires_in")
	}
	if plain, err := json.Marshal(answer); err == nil {
		return plain
	}
	return body
}

// classify says whether another attempt may help. Of the body of the answer it takes the code and the description of an OAuth
// error and nothing else: nobody knows what else is in it.
func (x *tokenExchange) classify(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, &TokenError{Err: ctx.Err()})
	}
	hidden := redact.Basic(x.id, x.secret)
	failed := &TokenError{Status: x.status, after: x.after}
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		failed.Code, failed.Description = hidden.Code(refused.ErrorCode), hidden.Text(refused.ErrorDescription)
		if foreign(x.status) && failed.Code == "" {
			failed.Err = errors.New(notCatalog)
		}
	case x.broken != nil:
		failed.Status, failed.Err = 0, hidden.Error(x.broken)
		if errors.Is(x.broken, errProxy) || errors.Is(x.broken, errPlaintext) {
			return failed
		}
		if explained := tokenSettings.Explain(failed); misconfig.Due(explained) {
			return fmt.Errorf("%w: %w", backend.ErrRejected, explained)
		}
		return fmt.Errorf("%w: %w", backend.ErrTransient, failed)
	case x.status == 0: // no request could be made
		return fmt.Errorf("%w: %w", backend.ErrRejected, failed)
	default:
		failed.Err = errors.New("the answer has no access token: " + notCatalog)
	}
	return fmt.Errorf("%w: %w", tokenVerdict(x.status), failed)
}

const notCatalog = "no token endpoint is there: is UnityCatalog the URL of the workspace, and not that of Zerobus Ingest?"

// tokenSettings say how to mend the setting of the token endpoint.
var tokenSettings = misconfig.Hints{
	misconfig.Untrusted: "check the host of UnityCatalog, or name the authority that signs for it with the option TLS",
	misconfig.NoTLS:     "the server there does not speak TLS: check the port of UnityCatalog",
	misconfig.NeedsTLS:  "the server there speaks TLS: write UnityCatalog with https",
	misconfig.OnlyHTTP2: notCatalog,
}

// foreign reports whether a status is that of a server which makes no tokens.
func foreign(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusUnsupportedMediaType
}
