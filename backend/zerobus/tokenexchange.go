package zerobus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/misconfig"
	"github.com/headrace/headrace/internal/redact"
)

// tokenBytes bounds an answer of the token endpoint.
const tokenBytes = 1 << 20

const notCatalog = "no token endpoint is there: is UnityCatalog the URL of the workspace, and not that of Zerobus Ingest?"

// tokenSettings say how to mend the setting of the token endpoint.
var tokenSettings = misconfig.Hints{
	misconfig.Untrusted: "check the host of UnityCatalog, or name the authority that signs for it with the option TLS",
	misconfig.NoTLS:     "the server there does not speak TLS: check the port of UnityCatalog",
	misconfig.NeedsTLS:  "the server there speaks TLS: write UnityCatalog with https",
	misconfig.OnlyHTTP2: notCatalog,
}

// A tokenExchange is the transport of a token request. oauth2 escapes the credentials, but the endpoint does not unescape
// them, so the tokenExchange writes the credentials again. It also keeps the status and the cause, which errors of oauth2 do
// not have.
type tokenExchange struct {
	base       http.RoundTripper
	id, secret string

	status int
	after  time.Duration
	broken error // why the exchange did not come to its end
}

func (x *tokenExchange) RoundTrip(req *http.Request) (*http.Response, error) {
	again := req.Clone(req.Context())            // a RoundTripper must not change its request
	if again.Header.Get("Authorization") != "" { // net/http drops the header when a redirect leads to another host
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
	// The latest response counts: after a redirect, the earlier status says nothing about the token.
	x.status, x.after = res.StatusCode, httpwire.RetryAfter(res.Header)
	// The body is read here and not by oauth2, because an error of the network must be told from an answer without a
	// token: only the first may pass.
	body, err := io.ReadAll(io.LimitReader(res.Body, tokenBytes))
	_ = res.Body.Close()
	if err != nil {
		x.broken = err
		return nil, err
	}
	res.Header.Set("Content-Type", "application/json") // oauth2 takes any other type for a form
	res.Body = io.NopCloser(bytes.NewReader(lifetime(body)))
	return res, nil
}

// lifetime turns expires_in, with or without quotes, into whole seconds for oauth2. It leaves out any other value, because
// oauth2 would fail on the value and throw away a good token.
func lifetime(body []byte) []byte {
	var answer map[string]json.RawMessage
	// oauth2 reports a body that is no JSON object, so the body stays as it is.
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

// explain makes a TokenError of an error of oauth2. From the answer's body it takes only the code and the description of an
// OAuth error, because the rest of the body may contain anything, also secrets.
func (x *tokenExchange) explain(ctx context.Context, err error) *TokenError {
	if ctx.Err() != nil { // whatever else went wrong, the caller's time is over
		return &TokenError{failure: tokenLost, Err: ctx.Err()}
	}
	// oauth2 wraps what went wrong in its own errors. The exchange has seen the cause itself.
	if x.broken != nil {
		return x.explainBroken()
	}
	if x.status == 0 { // RoundTrip was not called
		return &TokenError{failure: tokenUnasked, Err: redact.Basic(x.id, x.secret).Error(err)}
	}
	e := &TokenError{Status: x.status, after: x.after, failure: tokenRefused}
	if x.status >= 500 || x.status == http.StatusTooManyRequests {
		e.failure = tokenBusy
	}
	hidden := redact.Basic(x.id, x.secret) // endpoints like to quote the request
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		e.Err = errors.New("the answer has no access token: " + notCatalog)
		return e
	}
	e.Code, e.Description = hidden.Code(refused.ErrorCode), hidden.Text(refused.ErrorDescription)
	if foreign(x.status) && e.Code == "" {
		e.Err = errors.New(notCatalog)
	}
	return e
}

// explainBroken is about an exchange without a whole answer.
func (x *tokenExchange) explainBroken() *TokenError {
	hidden := redact.Basic(x.id, x.secret)
	e := &TokenError{after: x.after, failure: tokenLost, Err: tokenSettings.Explain(hidden.Error(x.broken))}
	switch {
	case errors.Is(x.broken, errProxy) || errors.Is(x.broken, errPlaintext):
		e.failure = tokenUnsafe
	case misconfig.Due(e.Err):
		e.failure = tokenMisled
	}
	return e
}

// foreign reports whether the status is usual for a server without a token endpoint.
func foreign(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusUnsupportedMediaType
}
