package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

func TestTokenRequestsAreChecked(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Client("id", "secret"), zerobustest.Workspace("127"))
	for name, c := range map[string]struct {
		id, secret string
		change     func(url.Values)
		code       int
	}{
		"right":              {"id", "secret", func(url.Values) {}, 200},
		"no credentials":     {"", "", func(url.Values) {}, 401},
		"wrong secret":       {"id", "secreT", func(url.Values) {}, 401},
		"wrong client":       {"i", "secret", func(url.Values) {}, 401},
		"wrong grant":        {"id", "secret", func(f url.Values) { f.Set("grant_type", "password") }, 400},
		"wrong scope":        {"id", "secret", func(f url.Values) { f.Set("scope", "all") }, 400},
		"no resource":        {"id", "secret", func(f url.Values) { f.Del("resource") }, 400},
		"wrong workspace":    {"id", "secret", func(f url.Values) { f.Set("resource", "api://databricks/workspaces/1/zerobusDirectWriteApi") }, 400},
		"wrong resource":     {"id", "secret", func(f url.Values) { f.Set("resource", "api://databricks/workspaces/127") }, 400},
		"a field too many":   {"id", "secret", func(f url.Values) { f.Set("client_id", "id") }, 400},
		"a field twice":      {"id", "secret", func(f url.Values) { f.Add("scope", "all-apis") }, 400},
		"details not JSON":   {"id", "secret", func(f url.Values) { f.Set("authorization_details", "x") }, 400},
		"no details":         {"id", "secret", func(f url.Values) { f.Set("authorization_details", "[]") }, 400},
		"without operations": {"id", "secret", func(f url.Values) { replaceDetails(f, `"operations":["zerobuswrite"],`, "") }, 200},
		"other operations":   {"id", "secret", func(f url.Values) { replaceDetails(f, "zerobuswrite", "read") }, 400},
		"fewer privileges":   {"id", "secret", func(f url.Values) { replaceDetails(f, `,"MODIFY"`, "") }, 400},
		"another schema":     {"id", "secret", func(f url.Values) { replaceDetails(f, `"cat.sch"`, `"cat.other"`) }, 400},
		"table of two parts": {"id", "secret", func(f url.Values) { replaceDetails(f, "cat.sch.tbl", "cat.sch") }, 400},
	} {
		t.Run(name, func(t *testing.T) {
			f := form(tbl)
			c.change(f)
			resp, out := postToken(t, srv, c.id, c.secret, f)
			if resp.StatusCode != c.code {
				t.Errorf("%s %v, want %d", resp.Status, out, c.code)
			}
			if _, ok := out["access_token"]; ok != (c.code == 200) {
				t.Errorf("answer %v", out)
			}
		})
	}
	resp, err := httpClient(srv).Get(srv.UnityCatalogURL + "/oidc/v1/token")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
}

func replaceDetails(f url.Values, old, by string) {
	f.Set("authorization_details", strings.ReplaceAll(f.Get("authorization_details"), old, by))
}

func TestTokenFaults(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.TLS())
	srv.InjectToken(zerobustest.TokenFault{Skip: 1, Status: 429, RetryAfter: "7"})
	srv.InjectToken(zerobustest.TokenFault{Skip: 2, Status: 503, Body: "<html>", ContentType: "text/html"})
	srv.InjectToken(zerobustest.TokenFault{Skip: 3, ExpiresIn: `"60"`, Delay: time.Millisecond})
	srv.InjectToken(zerobustest.TokenFault{Skip: 4, ExpiresIn: "-"})
	srv.InjectToken(zerobustest.TokenFault{Skip: 5, Body: "{}"})
	ask := func() (*http.Response, map[string]any) { return postToken(t, srv, "id", "s", form(tbl)) }
	if r, out := ask(); r.StatusCode != 200 || out["expires_in"] != 3600.0 {
		t.Errorf("1: %s %v", r.Status, out)
	}
	if r, _ := ask(); r.StatusCode != 429 || r.Header.Get("Retry-After") != "7" {
		t.Errorf("2: %s %v", r.Status, r.Header)
	}
	if r, out := ask(); r.StatusCode != 503 || out["body"] != "<html>" || r.Header.Get("Content-Type") != "text/html" {
		t.Errorf("3: %s %v", r.Status, out)
	}
	if r, out := ask(); r.StatusCode != 200 || out["expires_in"] != "60" {
		t.Errorf("4: %s %v", r.Status, out)
	}
	if _, out := ask(); out["expires_in"] != nil || out["access_token"] == nil {
		t.Errorf("5: %v", out)
	}
	if r, out := ask(); r.StatusCode != 200 || out["access_token"] != nil {
		t.Errorf("6: %v", out)
	}
	if s := srv.Stats(); s.TokenRequests != 6 || s.Tokens != 3 {
		t.Errorf("stats %+v", s)
	}
	srv.InjectToken(zerobustest.TokenFault{Drop: true})
	if resp, err := httpClient(srv).Get(srv.UnityCatalogURL + "/oidc/v1/token"); err == nil {
		_ = resp.Body.Close()
		t.Errorf("dropped: %s", resp.Status)
	}
}

func TestTokensAreCheckedWhenAStreamIsCreated(t *testing.T) {
	create := func(srv *zerobustest.Server, token string) *rawClient {
		s := openStream(t, dial(t, srv), "authorization", token, "x-databricks-zerobus-table-name", tbl)
		s.send(createJSON(tbl))
		return s
	}
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Token("mine"))
	create(srv, "Bearer mine").opened()
	create(srv, "Bearer made up").wantCode(codes.Unauthenticated, "invalid token")
	create(srv, "Basic mine").wantCode(codes.Unauthenticated, "no bearer token")
	good := token(t, srv, tbl)
	live := create(srv, "Bearer "+good)
	live.opened()
	srv.RevokeTokens()
	create(srv, "Bearer "+good).wantCode(codes.Unauthenticated, "invalid token")
	live.send(ingest(jsonRecord, 0, `{"n":1}`)) // an open stream goes on
	live.want("12020800")

	create(zerobustest.New(t, zerobustest.Table(tbl), zerobustest.AnyToken()), "Bearer x").opened()
	brief := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.TokenLife(0))
	create(brief, "Bearer "+token(t, brief, tbl)).wantCode(codes.Unauthenticated, "expired")
	other := openStream(t, dial(t, srv), "authorization", "Bearer mine", "x-databricks-zerobus-table-name", "a.b.c")
	other.send(createJSON(tbl))
	other.wantCode(codes.InvalidArgument, "header names")
}
