package s2

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/headrace/headrace/internal/httpwire"
)

// A Config says which S2 to call, and as whom. A Config needs a Token or an Auth, and nothing else for S2 itself.
type Config struct {
	// Token is an access token that does not change.
	Token string

	// Auth returns the access token of each request, in place of Token.
	Auth Auth

	// AccountEndpoint is the address for account-level calls: "[scheme://]host[:port][/path]". The default scheme is https, but
	// http for localhost and loopback addresses. The default path is /v1. The default address is https://a.s2.dev/v1.
	AccountEndpoint string

	// BasinEndpoint is the address for basin- and stream-level calls, written like AccountEndpoint. "{basin}" in the host or the
	// path stands for the basin's name. Without "{basin}", a single host serves all basins, and requests name the basin in the
	// header s2-basin. The default is https://{basin}.b.s2.dev/v1.
	BasinEndpoint string
}

// Environment returns the Config in the environment variables of S2's tools. S2_ACCESS_TOKEN is required; S2_ACCOUNT_ENDPOINT
// and S2_BASIN_ENDPOINT are optional. An empty variable counts as absent.
func Environment() (Config, error) {
	c := Config{
		Token:           os.Getenv("S2_ACCESS_TOKEN"),
		AccountEndpoint: os.Getenv("S2_ACCOUNT_ENDPOINT"),
		BasinEndpoint:   os.Getenv("S2_BASIN_ENDPOINT"),
	}
	if c.Token == "" {
		return Config{}, errors.New("s2: S2_ACCESS_TOKEN is not set")
	}
	return c, nil
}

// String names the account's server. String hides the token, and also a wrong address, because such an address may hold a
// password.
func (c Config) String() string {
	account, err := parseEndpoint(cmp.Or(c.AccountEndpoint, accountEndpoint))
	if err != nil {
		return "s2:[wrong endpoint]"
	}
	return "s2:" + account.host
}

// GoString is String, so that %#v does not print the token.
func (c Config) GoString() string { return c.String() }

// LogValue is String, so that logs do not hold the token.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// endpoints reads the two addresses.
func (c Config) endpoints() (account, basin endpoint, err error) {
	if account, err = parseEndpoint(cmp.Or(c.AccountEndpoint, accountEndpoint)); err != nil {
		return account, basin, fmt.Errorf("AccountEndpoint: %w", err)
	}
	if account.template() {
		return account, basin, errors.New("AccountEndpoint: names a basin, but the account's endpoint serves no basin")
	}
	if basin, err = parseEndpoint(cmp.Or(c.BasinEndpoint, basinEndpoint)); err != nil {
		return account, basin, fmt.Errorf("BasinEndpoint: %w", err)
	}
	return account, basin, nil
}

// credentials returns the Auth, made of the Token if the Config has a Token.
func (c Config) credentials() (Auth, error) {
	switch {
	case c.Auth != nil && c.Token != "":
		return nil, errors.New("a Token and an Auth are both given")
	case c.Auth != nil:
		return c.Auth, nil
	case c.Token == "":
		return nil, errors.New("no access token: give a Token or an Auth")
	case !httpwire.BearerToken(c.Token):
		return nil, errMalformedToken
	}
	return static(c.Token), nil
}
