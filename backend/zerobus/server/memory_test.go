package server_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// Off the network the server speaks TLS to who trusts it, on a clock that is not this machine's.
func TestInMemoryWithTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.InMemory(), zerobustest.TLS(), zerobustest.Token("mine"))
		dial := func(ctx context.Context, _, hostport string) (net.Conn, error) { return srv.Dial(ctx, hostport) }
		client := httpClient(srv)
		client.Transport.(*http.Transport).DialContext = dial
		resp, err := client.Get(srv.UnityCatalogURL + "/oidc/v1/token")
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("status %d", resp.StatusCode)
		}
		conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(srv.Endpoint, "https://"),
			grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(srv.CertPool(), "")), grpc.WithContextDialer(srv.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s := openStream(t, conn, "authorization", "Bearer mine", "x-databricks-zerobus-table-name", tbl)
		s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"n":1}`))
		s.opened()
		s.want("12020800")
		<-time.After(365 * 24 * time.Hour) // nothing happens while nothing is said
		if peer := srv.Streams()[0].Peer; !strings.HasPrefix(peer, "client:") {
			t.Errorf("peer %q", peer)
		}
	})
}

func TestInMemoryEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.InMemory())
		_, at, _ := strings.Cut(srv.Endpoint, "://")
		if _, err := srv.Dial(t.Context(), "localhost:99"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody there: %v", err)
		}
		c, err := srv.Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		srv.DropConnections()
		if _, err := c.Read(make([]byte, 100)); err == nil {
			_, err = c.Read(make([]byte, 100))
			if err == nil {
				t.Error("a cut connection goes on")
			}
		}
		_ = c.Close()
		if err := srv.Restart(false, time.Hour); err != nil {
			t.Fatal(err)
		}
		if c, err = srv.Dial(t.Context(), at); err != nil {
			t.Errorf("after a restart: %v", err)
		} else {
			_ = c.Close()
		}
		twice, err := server.New(server.Config{InMemory: true, OAuthAddr: "here:1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := twice.Start("here:1"); !errors.Is(err, syscall.EADDRINUSE) || twice.URL() != "" {
			t.Errorf("one address twice: %v", err)
		}
	})
	if _, err := zerobustest.New(t).Dial(t.Context(), "localhost:1"); err == nil {
		t.Error("a server on the network was reached through memory")
	}
}
