package s2_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/s2"
)

func TestNothingPrintsACredential(t *testing.T) {
	const token, password = "secret-token", "secret-password"
	cfg := s2.Config{Token: token}
	wrong := s2.Config{Token: token, AccountEndpoint: "https://user:" + password + "@host"}
	c, err := s2.New(cfg)
	check(t, err)
	defer c.Close()
	b := c.Basin(basinName)
	st := b.Stream("orders", s2.EncryptionKey([]byte(token)))
	for want, v := range map[string]any{"s2:a.s2.dev": cfg, "s2:[wrong endpoint]": wrong, "s2:a.s2.dev ": c, "s2:a.s2.dev/" + basinName: b, "s2:a.s2.dev/" + basinName + "/orders": st} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("here", "v", v)
		want = strings.TrimSpace(want)
		if got := fmt.Sprint(v); got != want {
			t.Errorf("prints as %q, want %q", got, want)
		}
		for _, s := range []string{fmt.Sprintf("%+v %#v", v, v), log.String()} {
			if strings.Contains(s, "secret") || strings.Contains(s, "c2VjcmV0") || !strings.Contains(s, want) {
				t.Errorf("%s: %s", want, s)
			}
		}
	}
	for _, address := range []string{wrong.AccountEndpoint, "https://user:" + password + " @host", "user:" + password + "@host"} {
		_, account := s2.New(s2.Config{Token: token, AccountEndpoint: address})
		_, basin := s2.New(s2.Config{Token: token, BasinEndpoint: address})
		for field, err := range map[string]error{"AccountEndpoint": account, "BasinEndpoint": basin} {
			if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), field) {
				t.Errorf("a password in the %s: %v", field, err)
			}
		}
	}
}

func TestUserAgentTellsWhoCalls(t *testing.T) {
	var agent string
	h := func(w http.ResponseWriter, r *http.Request) {
		agent = r.UserAgent()
		refuse(w, 404, "stream_not_found")
	}
	for name, want := range map[string]string{"": "headrace", "shop/1.2": "headrace shop/1.2"} {
		_, _ = fakeClient(t, "any-token", h, s2.UserAgent(name)).Basin(basinName).Stream("s").CheckTail(context.Background())
		if agent != want {
			t.Errorf("User-Agent %q, want %q", agent, want)
		}
	}
}
