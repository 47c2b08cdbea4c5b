package server_test

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

const tbl = "cat.sch.tbl"

// Golden messages of the protocol, as the service's own clients write and read them.
const (
	goldenCreateJSON = "0a0f0a0b6361742e7363682e74626c2002"
	goldenRecordJSON = "120b08001a077b2261223a317d"                       // offset 0, {"a":1}
	goldenBatchJSON  = "1a1608011a120a077b2261223a327d0a077b2261223a337d" // offset 1, {"a":2} {"a":3}
	goldenAck0       = "12020800"
	goldenAckAbsent  = "1200"
	goldenSignal     = "1a0a0a0808011080cab5ee01" // 1.5 s
	goldenSignalNone = "1a00"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A rawClient writes and reads the bytes of messages, and knows nothing of the protocol.
type rawClient struct {
	t testing.TB
	grpc.ClientStream
	cancel context.CancelFunc
}

func dial(t testing.TB, srv *zerobustest.Server, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if srv.CertPool() != nil {
		creds = credentials.NewClientTLSFromCert(srv.CertPool(), "")
	}
	_, target, _ := strings.Cut(srv.Endpoint, "://")
	c, err := grpc.NewClient("passthrough:///"+target, append(opts, grpc.WithTransportCredentials(creds))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// openStream starts an RPC. Headers are name, value, name, value, …
func openStream(t testing.TB, conn *grpc.ClientConn, headers ...string) *rawClient {
	t.Helper()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), headers...))
	t.Cleanup(cancel)
	cs, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/databricks.zerobus.Zerobus/EphemeralStream", grpc.ForceCodecV2(server.FrameCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	return &rawClient{t, cs, cancel}
}

// authorized starts an RPC with a token that srv issued for the table.
func authorized(t testing.TB, srv *zerobustest.Server, conn *grpc.ClientConn, table string) *rawClient {
	t.Helper()
	return openStream(t, conn, "authorization", "Bearer "+token(t, srv, table), "x-databricks-zerobus-table-name", table)
}

func (c *rawClient) send(msgs ...[]byte) {
	c.t.Helper()
	for _, m := range msgs {
		if err := c.SendMsg(m); err != nil && err != io.EOF {
			c.t.Fatal(err)
		}
	}
}

func (c *rawClient) recv() ([]byte, error) {
	var f server.Frame
	if err := c.RecvMsg(&f); err != nil {
		return nil, err
	}
	return f.Bytes(), nil
}

// want receives exactly these messages.
func (c *rawClient) want(msgs ...string) {
	c.t.Helper()
	for _, m := range msgs {
		got, err := c.recv()
		if err != nil {
			c.t.Fatalf("received %v, want %s", err, m)
		}
		if hex.EncodeToString(got) != m {
			c.t.Fatalf("received %x, want %s", got, m)
		}
	}
}

// opened receives a create response and returns the id.
func (c *rawClient) opened() string {
	c.t.Helper()
	got, err := c.recv()
	if err != nil {
		c.t.Fatal(err)
	}
	if len(got) < 5 || got[0] != 0x0a || got[2] != 0x0a {
		c.t.Fatalf("received %x, want a create response", got)
	}
	return string(got[4:])
}

// code receives until the stream is over and returns how it ended.
func (c *rawClient) code() *status.Status {
	c.t.Helper()
	for {
		_, err := c.recv()
		if err == io.EOF {
			return status.New(codes.OK, "")
		}
		if err != nil {
			return status.Convert(err)
		}
	}
}

func (c *rawClient) wantCode(code codes.Code, phrase string) *status.Status {
	c.t.Helper()
	s := c.code()
	if s.Code() != code || !strings.Contains(s.Message(), phrase) {
		c.t.Fatalf("stream ended with %v %q, want %v with %q", s.Code(), s.Message(), code, phrase)
	}
	return s
}

// recordType is the RecordType of the protocol.
type recordType int

const (
	protoRecord recordType = 1
	jsonRecord  recordType = 2
)

// response is a message with one field, which is a message too. Requests have the same form.
func response(field protowire.Number, msg []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), msg)
}

// The causes of a schema rejection, as the service writes them.
const (
	notInTable    = "FIELD_NOT_IN_TABLE"
	missing       = "MISSING_REQUIRED_COLUMN"
	outOfOrder    = "FIELD_OUT_OF_ORDER"
	incompatible  = "TYPE_INCOMPATIBLE"
	countMismatch = "FIELD_COUNT_MISMATCH"
)

// ingest builds a request: one record is a record, several are a batch.
func ingest(kind recordType, offset int64, recs ...string) []byte {
	in := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(offset))
	num := protowire.Number(kind) + 1
	if len(recs) == 1 {
		in = protowire.AppendString(protowire.AppendTag(in, num, protowire.BytesType), recs[0])
		return response(2, in)
	}
	var list []byte
	for _, r := range recs {
		list = protowire.AppendString(protowire.AppendTag(list, 1, protowire.BytesType), r)
	}
	return response(3, protowire.AppendBytes(protowire.AppendTag(in, num, protowire.BytesType), list))
}

func createJSON(table string) []byte {
	in := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), table)
	return response(1, protowire.AppendVarint(protowire.AppendTag(in, 4, protowire.VarintType), uint64(jsonRecord)))
}

func createProto(table string, descriptor []byte) []byte {
	in := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), table)
	in = protowire.AppendBytes(protowire.AppendTag(in, 3, protowire.BytesType), descriptor)
	return response(1, protowire.AppendVarint(protowire.AppendTag(in, 4, protowire.VarintType), uint64(protoRecord)))
}

func form(table string) url.Values {
	p := strings.Split(table, ".")
	details := `[{"object_full_path":"` + p[0] + `","object_type":"CATALOG","privileges":["USE CATALOG"],"type":"unity_catalog_privileges"},` +
		`{"object_full_path":"` + p[0] + "." + p[1] + `","object_type":"SCHEMA","privileges":["USE SCHEMA"],"type":"unity_catalog_privileges"},` +
		`{"object_full_path":"` + table + `","object_type":"TABLE","operations":["zerobuswrite"],"privileges":["SELECT","MODIFY"],"type":"unity_catalog_privileges"}]`
	return url.Values{
		"grant_type": {"client_credentials"}, "scope": {"all-apis"},
		"resource":              {"api://databricks/workspaces/127/zerobusDirectWriteApi"},
		"authorization_details": {details},
	}
}

// httpClient trusts srv and leaves no connection behind.
func httpClient(srv *zerobustest.Server) *http.Client {
	tr := &http.Transport{DisableKeepAlives: true}
	if srv.CertPool() != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: srv.CertPool()}
	}
	return &http.Client{Transport: tr}
}

func postToken(t testing.TB, srv *zerobustest.Server, id, secret string, f url.Values) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.UnityCatalogURL+"/oidc/v1/token", strings.NewReader(f.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	resp, err := httpClient(srv).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		out = map[string]any{"body": string(b)}
	}
	return resp, out
}

func token(t testing.TB, srv *zerobustest.Server, table string) string {
	t.Helper()
	resp, out := postToken(t, srv, "id", "secret", form(table))
	tok, _ := out["access_token"].(string)
	if resp.StatusCode != http.StatusOK || tok == "" {
		t.Fatalf("token request: %s: %v", resp.Status, out)
	}
	return tok
}
