// Package zerobus holds our client of Zerobus against a server with another implementation of gRPC and of HTTP/2: that of Node.
package zerobus

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/zerobus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is the server. One serves all tests, and ends with the test's process, because its standard input ends.
type node struct {
	Plain, TLS, Pinged, Control int // ports; on Pinged, the server speaks TLS and asks for signs of life all the time

	authorities *x509.CertPool
	stdin       io.Closer // kept: if it were collected, the server would end
}

// running starts the server at the first call.
var running = sync.OnceValues(func() (*node, error) {
	proto, err := filepath.Abs("../../../backend/zerobus/internal/zerobuspb/zerobus.proto")
	if err != nil {
		return nil, err
	}
	files, err := os.MkdirTemp("", "zerobus")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(files)
	n := &node{authorities: x509.NewCertPool()}
	certificate, key := filepath.Join(files, "certificate.pem"), filepath.Join(files, "key.pem")
	if err := n.sign(certificate, key); err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "server.mjs", proto, certificate, key)
	cmd.Dir, cmd.Stderr = os.Getenv("HEADRACE_ZEROBUS_NODE"), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if n.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the server of Node has not started: %w", err)
	}
	return n, json.Unmarshal(ready, n)
})

// sign makes a certificate that is its own authority.
func (n *node) sign(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	n.authorities.AppendCertsFromPEM(public)
	return errors.Join(os.WriteFile(certificate, public, 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

// A plan says what the server does with a stream: see server.mjs.
type plan struct {
	Early   bool   `json:"early,omitempty"`
	Delay   int    `json:"delay,omitempty"`
	After   int    `json:"after,omitempty"`
	Silent  bool   `json:"silent,omitempty"`
	Event   string `json:"event,omitempty"`
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Details []byte `json:"details,omitempty"`
	Pause   int    `json:"pause,omitempty"`
}

// A table is one of the server's.
type table struct {
	*node
	name string
}

var tables atomic.Int64 // made so far: each test has names of its own

// newTable makes a table, whose streams follow the plans in their order.
func newTable(t *testing.T, plans ...plan) table {
	t.Helper()
	in := os.Getenv("HEADRACE_ZEROBUS_NODE")
	if _, err := os.Stat(filepath.Join(in, "node_modules/@grpc/grpc-js")); in == "" || err != nil {
		t.Skip("HEADRACE_ZEROBUS_NODE does not name the folder where .ci/zerobus installs the gRPC of Node")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip(err)
	}
	n, err := running()
	if err != nil {
		t.Fatal(err)
	}
	x := table{n, fmt.Sprintf("main.interop.table%d", tables.Add(1))}
	if len(plans) > 0 {
		body, err := json.Marshal(plans)
		if err != nil {
			t.Fatal(err)
		}
		x.control(t, http.MethodPut, "", body)
	}
	return x
}

// control asks the server over its control port.
func (x table) control(t *testing.T, method, what string, body []byte) []byte {
	t.Helper()
	url := fmt.Sprintf("http://127.0.0.1:%d/%s%s", x.Control, x.name, what)
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // or goleak would find the connection
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v", method, url, res.Status, err)
	}
	return answer
}

// rows returns what the server has stored, in its order.
func (x table) rows(t *testing.T) (rows [][]byte) {
	t.Helper()
	for b := x.control(t, http.MethodGet, "/rows", nil); len(b) > 0; {
		n := 4 + binary.BigEndian.Uint32(b)
		rows, b = append(rows, b[4:n]), b[n:]
	}
	return rows
}

// A stream is what the server has seen of one.
type stream struct {
	Requests   int               `json:"requests"`
	Metadata   map[string]string `json:"metadata"`
	Table      string            `json:"table"`
	Kind       int               `json:"kind"`
	Descriptor []byte            `json:"descriptor"`
}

func (x table) streams(t *testing.T) (streams []stream) {
	t.Helper()
	if err := json.Unmarshal(x.control(t, http.MethodGet, "", nil), &streams); err != nil {
		t.Fatal(err)
	}
	return streams
}

// A way is one to the server.
type way string

const (
	overHTTP  way = "http"
	overHTTPS way = "https"
	pinged    way = "https with pings"
)

// ways are those to a server that can also be shut down.
var ways = []way{overHTTP, overHTTPS}

func (x table) endpoint(w way) string {
	switch w {
	case overHTTP:
		return fmt.Sprintf("http://127.0.0.1:%d", x.Plain)
	case overHTTPS:
		return fmt.Sprintf("https://127.0.0.1:%d", x.TLS)
	default:
		return fmt.Sprintf("https://127.0.0.1:%d", x.Pinged)
	}
}

const token = "Bearer of the interop tests"

// sink is the table for our client. The client is closed at the end of the test.
func (x table) sink(t *testing.T, w way, opts ...zerobus.TableOption) *zerobus.Sink {
	t.Helper()
	client, err := zerobus.New(zerobus.Config{Endpoint: x.endpoint(w)},
		zerobus.TLS(&tls.Config{RootCAs: x.authorities}),
		zerobus.Timeout(time.Minute), // a busy machine needs longer than the default
		zerobus.Headers(zerobus.HeadersFunc(func(_ context.Context, table string) (map[string]string, error) {
			return map[string]string{"authorization": token, "x-databricks-zerobus-table-name": table}, nil
		})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.Table(x.name, opts...)
}
