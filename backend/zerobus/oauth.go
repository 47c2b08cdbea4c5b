package zerobus

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// A privilege is an authorization detail of a token request. The names and the order are those of the vendor's
// clients.
type privilege struct {
	Type       string   `json:"type"`
	ObjectType string   `json:"object_type"`
	Path       string   `json:"object_full_path"`
	Privileges []string `json:"privileges"`
	Operations []string `json:"operations,omitempty"`
}

// privileges are the least privileges for writing to a table.
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

// mint asks the token endpoint once. Trying again is the producer's work, as for every other part of an opening.
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
	// Each request has its own exchange, because the exchange keeps the status and the cause of this request only.
	exchange := &tokenExchange{base: wire.Transport, id: id, secret: secret}
	wire.Transport = exchange
	t, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, &wire))
	if err != nil {
		return nil, exchange.explain(ctx, err)
	}
	// The endpoint says how long the token lives, and not from when on. The life began after our request at the earliest,
	// so we count from the request.
	//
	// oauth2 has added the seconds to the present time. Rounding gives the seconds back that the endpoint has sent.
	life := time.Until(t.Expiry).Round(time.Second)
	if life <= 0 { // the lifetime is missing, 0 or negative
		return &token{value: t.AccessToken}, nil // used once
	}
	minted := &token{value: t.AccessToken, expires: began.Add(life), life: life}
	// The service would refuse the token, and the refusal would look like a fault of the credentials.
	if !minted.valid(time.Now()) {
		return nil, &TokenError{Status: exchange.status, failure: tokenExpired, Err: errors.New("the token has expired on its way")}
	}
	return minted, nil
}

// tokenClient returns a copy of the HTTP client to use, and a function that frees its connections. A token lasts about an
// hour, so we keep no connection between requests.
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
		ForceAttemptHTTP2: true, // with TLSClientConfig too; a server that speaks only HTTP/2, such as that of Zerobus, then gives a clear answer
		DisableKeepAlives: true,
	}
	if c.cfg.tls != nil {
		t.TLSClientConfig = c.cfg.tls.Clone()
	}
	return http.Client{Transport: t}, t.CloseIdleConnections
}

// discreet replaces the error of lookup. The error quotes the proxy variable, and the variable may contain a password.
func discreet(lookup func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := lookup(r)
		if err != nil {
			return nil, errProxy
		}
		return u, nil
	}
}
