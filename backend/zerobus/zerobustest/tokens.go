package zerobustest

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A TokenFault is an answer of the OAuth endpoint other than a token, or a token said otherwise. It acts after Skip
// requests, as often as Times says: 0 is once, below 0 for ever.
type TokenFault struct {
	Skip, Times int

	Delay       time.Duration // before the answer
	Drop        bool          // closes the connection instead of answering
	Status      int           // of the answer; 0 is 200
	RetryAfter  string        // the header, verbatim
	ContentType string        // "": application/json
	Body        string        // instead of the token; with a Status and none it is an OAuth error
	ExpiresIn   string        // the JSON of expires_in: `3600`, `"3600"`, `0`; `-` leaves it out
}

type tokens struct {
	cfg *config

	mu       sync.Mutex
	faults   []*TokenFault
	valid    map[string]grant
	requests int64
	issued   int64
}

type grant struct {
	table   string
	expires time.Time
}

func (ts *tokens) init(cfg *config) { ts.cfg, ts.valid = cfg, map[string]grant{} }

// InjectToken adds a fault of the OAuth endpoint.
func (s *Server) InjectToken(f TokenFault) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.faults = append(s.tokens.faults, &f)
}

// RevokeTokens makes all tokens issued so far invalid. Streams that are open go on, as they do at the service.
func (s *Server) RevokeTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	clear(s.tokens.valid)
}

func (ts *tokens) counts() (requests, issued int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.requests, ts.issued
}

// check looks at the authorization header of a stream.
func (ts *tokens) check(authorization, table string) error {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" {
		return status.Error(codes.Unauthenticated, "no bearer token")
	}
	if ts.cfg.anyToken || slices.Contains(ts.cfg.tokens, token) {
		return nil
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch g, ok := ts.valid[token]; {
	case !ok:
		return status.Error(codes.Unauthenticated, "invalid token")
	case !time.Now().Before(g.expires):
		return status.Error(codes.Unauthenticated, "token has expired")
	case g.table != table:
		return status.Errorf(codes.PermissionDenied, "token is not for table %q", table)
	}
	return nil
}

// due counts a request and returns the fault that acts on it.
func (ts *tokens) due() TokenFault {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.requests++
	var found *TokenFault
	for i := 0; i < len(ts.faults); i++ {
		f := ts.faults[i]
		switch {
		case f.Skip > 0:
			f.Skip--
		case found == nil:
			found = f
			if f.Times == 0 || f.Times == 1 {
				ts.faults = append(ts.faults[:i:i], ts.faults[i+1:]...)
				i--
			} else if f.Times > 1 {
				f.Times--
			}
		}
	}
	if found == nil {
		return TokenFault{}
	}
	return *found
}

// token serves the OAuth endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	f := s.tokens.due()
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		// The body is read first: the server notices that a client has gone only then.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	if f.Drop {
		panic(http.ErrAbortHandler) // how a handler closes a connection
	}
	if f.ContentType == "" {
		f.ContentType = "application/json"
	}
	w.Header().Set("Content-Type", f.ContentType)
	w.Header().Set("Cache-Control", "no-store")
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Body != "" || f.Status != 0 && f.Status != http.StatusOK {
		if f.Status == 0 {
			f.Status = http.StatusOK
		}
		if f.Body == "" {
			f.Body = `{"error":"temporarily_unavailable"}`
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body) // a client that has gone need not know
		return
	}
	table, code, err := s.tokens.authorize(w, r)
	if err != nil {
		w.WriteHeader(code)
		kind := "invalid_request"
		if code == http.StatusUnauthorized {
			kind = "invalid_client"
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"error": kind, "error_description": err.Error()})
		return
	}
	token := s.tokens.issue(table)
	if f.ExpiresIn == "" {
		f.ExpiresIn = fmt.Sprint(int(s.cfg.tokenLife.Seconds()))
	}
	answer := map[string]any{"access_token": token, "token_type": "Bearer", "scope": "all-apis"}
	if f.ExpiresIn != "-" {
		answer["expires_in"] = json.RawMessage(f.ExpiresIn)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (ts *tokens) issue(table string) string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.issued++
	if len(ts.valid)%1024 == 1023 { // a server that runs for days must not keep them all
		maps.DeleteFunc(ts.valid, func(_ string, g grant) bool { return !time.Now().Before(g.expires) })
	}
	token := rand.Text()
	ts.valid[token] = grant{table: table, expires: time.Now().Add(ts.cfg.tokenLife)}
	return token
}

// authorize checks a token request and returns the table it is for, or what to answer.
func (ts *tokens) authorize(w http.ResponseWriter, r *http.Request) (string, int, error) {
	if r.Method != http.MethodPost {
		return "", http.StatusMethodNotAllowed, fmt.Errorf("method %s", r.Method)
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return "", http.StatusBadRequest, fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	id, secret, ok := r.BasicAuth()
	if !ok || id == "" || secret == "" {
		return "", http.StatusUnauthorized, fmt.Errorf("no client credentials")
	}
	if c := ts.cfg; c.clientID != "" && subtle.ConstantTimeCompare([]byte(id+"\x00"+secret), []byte(c.clientID+"\x00"+c.secret)) != 1 {
		return "", http.StatusUnauthorized, fmt.Errorf("unknown client")
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return "", http.StatusBadRequest, err
	}
	for _, name := range []string{"grant_type", "scope", "resource", "authorization_details"} {
		if len(r.PostForm[name]) != 1 {
			return "", http.StatusBadRequest, fmt.Errorf("%s must be there once", name)
		}
	}
	if len(r.PostForm) != 4 {
		return "", http.StatusBadRequest, fmt.Errorf("there are %d fields where 4 must be", len(r.PostForm))
	}
	if g := r.PostForm.Get("grant_type"); g != "client_credentials" {
		return "", http.StatusBadRequest, fmt.Errorf("grant_type %q", g)
	}
	if g := r.PostForm.Get("scope"); g != "all-apis" {
		return "", http.StatusBadRequest, fmt.Errorf("scope %q", g)
	}
	ws, pre := strings.CutPrefix(r.PostForm.Get("resource"), "api://databricks/workspaces/")
	ws, post := strings.CutSuffix(ws, "/zerobusDirectWriteApi")
	if !pre || !post || ws == "" || ts.cfg.workspace != "" && ws != ts.cfg.workspace {
		return "", http.StatusBadRequest, fmt.Errorf("resource %q", r.PostForm.Get("resource"))
	}
	table, err := parseDetails(r.PostForm.Get("authorization_details"))
	if err != nil {
		return "", http.StatusBadRequest, err
	}
	return table, 0, nil
}

// parseDetails checks the three privileges that a token for a table is asked with, and returns the table.
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
	if len(details) != 3 {
		return "", fmt.Errorf("authorization_details: %d objects where 3 must be", len(details))
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
		ops := len(d.Operations) == 0 || i == 2 && slices.Equal(d.Operations, []string{"zerobuswrite"})
		if d.Type != "unity_catalog_privileges" || d.ObjectType != w.kind || d.Path != w.path || !slices.Equal(d.Privileges, w.privileges) || !ops {
			return "", fmt.Errorf("authorization_details: object %d is not the %s of %q with privileges %q", i, w.kind, table, w.privileges)
		}
	}
	return table, nil
}
