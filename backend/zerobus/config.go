package zerobus

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A Config names a workspace and an identity to write as.
type Config struct {
	// Endpoint of Zerobus Ingest: https://<workspace id>.zerobus.<region>.cloud.databricks.com. The default scheme is https.
	// For tests, http goes without TLS, to a loopback address only. The targets of gRPC, dns:///… and passthrough:///…, are
	// allowed too.
	Endpoint string

	// UnityCatalog is the URL of the workspace. The workspace issues the tokens: https://<workspace>.cloud.databricks.com.
	UnityCatalog string

	// ClientID and ClientSecret belong to a service principal. The service principal needs USE CATALOG, USE SCHEMA, and
	// SELECT and MODIFY on the table.
	ClientID, ClientSecret string

	// WorkspaceID is the id of the workspace, for token requests. The default is the first label of the Endpoint's host.
	WorkspaceID string
}

// Environment returns the Config in the environment variables ZEROBUS_ENDPOINT, ZEROBUS_WORKSPACE_URL, ZEROBUS_CLIENT_ID and
// ZEROBUS_CLIENT_SECRET. "headrace serve" prints them for its own service. Its error names the variables that are missing. An
// empty variable counts as absent.
func Environment() (Config, error) {
	var c Config
	var missing []string
	for _, v := range []struct {
		name string
		to   *string
	}{
		{"ZEROBUS_ENDPOINT", &c.Endpoint}, {"ZEROBUS_WORKSPACE_URL", &c.UnityCatalog},
		{"ZEROBUS_CLIENT_ID", &c.ClientID}, {"ZEROBUS_CLIENT_SECRET", &c.ClientSecret},
	} {
		if *v.to = os.Getenv(v.name); *v.to == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) > 0 {
		return Config{}, fmt.Errorf("zerobus: not set in the environment: %s", strings.Join(missing, ", "))
	}
	return c, nil
}

// String names the endpoint, without the secret. It also hides the text before an @ in the Endpoint. New refuses an @, but
// whoever prints the Config before New would show a password.
func (c Config) String() string {
	return "zerobus:" + c.Endpoint[strings.LastIndexByte(c.Endpoint, '@')+1:]
}

// GoString is String, because %#v must not show the secret either.
func (c Config) GoString() string { return c.String() }

// LogValue is String, also for logs in JSON.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A workspace is a checked Config.
type workspace struct {
	endpoint endpoint
	catalog  string // the URL that issues tokens, without a slash at its end
	id       string
	clientID string
}

// check reads the addresses. With a HeadersProvider nobody asks for tokens. Then the settings for tokens may be missing.
func (c Config) check(provided bool) (w workspace, err error) {
	if w.endpoint, err = parseEndpoint(c.Endpoint); err != nil {
		return w, err
	}
	w.id, w.clientID = c.WorkspaceID, c.ClientID
	if w.id == "" {
		w.id = w.endpoint.workspace
	}
	if provided {
		return w, nil
	}
	if c.ClientID == "" || c.ClientSecret == "" {
		return w, fmt.Errorf("give ClientID and ClientSecret, or the option Headers: %w", backend.ErrUnauthorized)
	}
	w.catalog, err = parseCatalog(c.UnityCatalog)
	return w, err
}
