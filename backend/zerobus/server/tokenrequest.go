package server

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/calls"
)

// keptTokenRequests is how many of the latest requests of the OAuth endpoint are kept. Without a bound, a server that
// runs for days would fill the memory.
const keptTokenRequests = 4096

// A TokenRequest is a request of the OAuth endpoint. It contains no secret, neither the client's nor the token.
type TokenRequest struct {
	Time     time.Time // arrival
	ClientID string
	Form     url.Values // the fields of the body, without client_secret
	Status   int        // of the answer; 0 if the client got no answer
}

// TokenRequests returns the requests of the OAuth endpoint, in the order of their answers. Of many requests it returns
// only the latest, at least 4096.
func (s *Server) TokenRequests() []TokenRequest {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	out := slices.Clone(s.tokens.kept)
	// The maps are copied too. A caller that changes a form would otherwise change the server's own copy.
	for i := range out {
		out[i].Form = maps.Clone(out[i].Form)
	}
	return out
}

// keep adds a request to the kept requests. It is called before the client gets the answer. Otherwise a test that has
// the answer might not find the request.
func (ts *tokens) keep(r TokenRequest) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.kept = append(ts.kept, r); len(ts.kept) > 2*keptTokenRequests {
		ts.kept = slices.Clone(ts.kept[len(ts.kept)-keptTokenRequests:])
	}
}

// token serves the OAuth endpoint. Tests rely on the order of the steps. The request is counted first, also for
// faults with a Skip. The body is read before a delay. And the request is kept before the answer leaves.
func (s *Server) token(to http.ResponseWriter, r *http.Request) {
	w, whole := &calls.Response{ResponseWriter: to}, false
	s.calls.Begin()
	defer func() { s.calls.End("token", w.Status(whole)) }()
	f := s.tokens.due()
	said := TokenRequest{Time: time.Now()}
	said.ClientID, _, _ = r.BasicAuth()
	malformed := readForm(w, r) // before any delay: net/http notices only after reading the body that a client has gone
	said.Form = maps.Clone(r.PostForm)
	// The protocol sends the secret in the header, but a faulty client may send it in the form.
	delete(said.Form, "client_secret")
	gone := sleep(r.Context(), f.Delay)
	if gone != nil || f.Drop {
		s.tokens.keep(said)
		panic(http.ErrAbortHandler) // makes net/http close the connection
	}
	body, instead := []byte(nil), false
	if said.Status, body, instead = f.answers(); !instead {
		said.Status, body = s.tokens.answer(&f, r, malformed)
	}
	s.tokens.keep(said)
	w.Header().Set("Content-Type", cmp.Or(f.ContentType, "application/json"))
	w.Header().Set("Cache-Control", "no-store")
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	w.WriteHeader(said.Status)
	_, _ = w.Write(body) // an error means only that the client has gone
	// The deferred function counts a request without this mark as broken off, for example after the panic above.
	whole = true
}

// readForm reads the whole body, even if the body is no form, and then parses the form. ParseForm alone would leave the
// body of another content type unread, and then a client that hangs up during a delay would go unnoticed. 1 MiB is far
// above a real form, which has less than a kilobyte; without a bound, a client could fill the memory.
func readForm(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r.ParseForm()
}

// answer issues a token, or returns the OAuth error that says why not. The errors have the names of OAuth 2.0 (RFC
// 6749, section 5.2): clients log them, and decide by the status whether to try again.
func (ts *tokens) answer(f *TokenFault, r *http.Request, malformed error) (code int, body []byte) {
	table, refused := ts.authorize(r, malformed)
	answer := map[string]any{"scope": "all-apis", "token_type": "Bearer"}
	code = http.StatusOK
	if refused != nil {
		answer = map[string]any{"error": refused.kind(), "error_description": refused.err.Error()}
		code = refused.code
	} else {
		answer["access_token"] = ts.issue(table)
		if in := f.expiresIn(ts.cfg.TokenLife); in != nil {
			answer["expires_in"] = in
		}
	}
	body, err := json.Marshal(answer)
	if err != nil { // the ExpiresIn of a fault is no JSON
		return http.StatusInternalServerError, []byte(err.Error())
	}
	return code, body
}

// A refusedToken says why a client gets no token.
type refusedToken struct {
	code int
	err  error
}

func (r *refusedToken) kind() string {
	if r.code == http.StatusUnauthorized {
		return "invalid_client"
	}
	return "invalid_request"
}

// authorize checks a token request and returns the table of the token. The credentials are checked before the form: a
// client without credentials must learn that first, and nothing about tables.
func (ts *tokens) authorize(r *http.Request, malformed error) (table string, refused *refusedToken) {
	if r.Method != http.MethodPost {
		return "", &refusedToken{http.StatusMethodNotAllowed, fmt.Errorf("method %s: use POST", r.Method)}
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return "", &refusedToken{http.StatusBadRequest, fmt.Errorf("content type %q: send application/x-www-form-urlencoded", r.Header.Get("Content-Type"))}
	}
	if err := ts.checkClient(r); err != nil {
		return "", &refusedToken{http.StatusUnauthorized, err}
	}
	err := malformed
	if err == nil {
		table, err = ts.checkForm(r.PostForm)
	}
	if err != nil {
		return "", &refusedToken{http.StatusBadRequest, err}
	}
	return table, nil
}

// checkClient compares the id and the secret together and in constant time. The text of the error is the same for both:
// whoever guesses must not learn that a client id exists.
func (ts *tokens) checkClient(r *http.Request) error {
	id, secret, ok := r.BasicAuth()
	if !ok || id == "" || secret == "" {
		return errors.New("no client credentials: send the client id and the client secret with HTTP basic authentication")
	}
	if c := ts.cfg; c.ClientID != "" && subtle.ConstantTimeCompare([]byte(id+"\x00"+secret), []byte(c.ClientID+"\x00"+c.ClientSecret)) != 1 {
		return errors.New("unknown client: the client id or the client secret is wrong")
	}
	return nil
}

// checkForm checks the four fields of a token request and returns the table of the token. A field that the service does
// not know is refused too: a client that misspells a field must notice here, and not at the service. A repeated field
// is refused for the same reason: two readers of the form could believe different ones.
func (ts *tokens) checkForm(form url.Values) (table string, err error) {
	for _, name := range []string{"grant_type", "scope", "resource", "authorization_details"} {
		if len(form[name]) != 1 {
			return "", fmt.Errorf("the form must have %s once", name)
		}
	}
	if len(form) != 4 {
		return "", fmt.Errorf("the form has %d fields: send only grant_type, scope, resource and authorization_details", len(form))
	}
	if g := form.Get("grant_type"); g != "client_credentials" {
		return "", fmt.Errorf("grant_type %q: send client_credentials", g)
	}
	if g := form.Get("scope"); g != "all-apis" {
		return "", fmt.Errorf("scope %q: send all-apis", g)
	}
	ws, pre := strings.CutPrefix(form.Get("resource"), "api://databricks/workspaces/")
	ws, post := strings.CutSuffix(ws, "/zerobusDirectWriteApi")
	if !pre || !post || ws == "" || ts.cfg.Workspace != "" && ws != ts.cfg.Workspace {
		return "", fmt.Errorf("resource %q: send api://databricks/workspaces/ID/zerobusDirectWriteApi with the id of the workspace", form.Get("resource"))
	}
	return parseDetails(form.Get("authorization_details"))
}

// parseDetails checks authorization_details and returns the table. A token for a table needs three privileges: on the
// catalog, on the schema and on the table. JSON is parsed and not compared as text, because the order of the keys
// differs between clients. The catalog and the schema must be those of the table: with others, the service would give a
// token that opens no stream.
func parseDetails(s string) (string, error) {
	var details []struct {
		Type       string   `json:"type"`
		ObjectType string   `json:"object_type"`
		Path       string   `json:"object_full_path"`
		Privileges []string `json:"privileges"`
		Operations []string `json:"operations"` // newer clients ask for zerobuswrite
	}
	if err := json.Unmarshal([]byte(s), &details); err != nil {
		return "", fmt.Errorf("authorization_details: %w", err)
	}
	// The objects come in the order catalog, schema, table.
	if len(details) != 3 {
		return "", fmt.Errorf("authorization_details: %d objects, want 3", len(details))
	}
	table := details[2].Path
	if err := checkTable(table); err != nil {
		return "", fmt.Errorf("authorization_details: %w", err)
	}
	parts := strings.Split(table, ".")
	want := []struct {
		kind, path string
		privileges []string
	}{
		{"CATALOG", parts[0], []string{"USE CATALOG"}},
		{"SCHEMA", parts[0] + "." + parts[1], []string{"USE SCHEMA"}},
		{"TABLE", table, []string{"SELECT", "MODIFY"}},
	}
	for i, w := range want {
		d := details[i]
		// Only the object of the table may have operations. Older clients send none, and both must pass.
		ops := len(d.Operations) == 0 || i == 2 && slices.Equal(d.Operations, []string{"zerobuswrite"})
		if d.Type != "unity_catalog_privileges" || d.ObjectType != w.kind || d.Path != w.path || !slices.Equal(d.Privileges, w.privileges) || !ops {
			return "", fmt.Errorf("authorization_details: object %d is not the %s of %q with privileges %q", i, w.kind, table, w.privileges)
		}
	}
	return table, nil
}
