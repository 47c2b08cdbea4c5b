package server_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

func TestTheTranscriptTellsAll(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	began := time.Now()
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl))
	id := s.opened()
	s.send(ingest(jsonRecord, 0, `{"n":1}`, `{"n":2}`))
	s.want("12020800")
	srv.Signal(tbl, 1500*time.Millisecond)
	s.want(goldenSignal)
	srv.Signal("", -1)
	s.want(goldenSignalNone)
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.wantCode(codes.OK, "")
	all := srv.Streams()
	if len(all) != 1 || all[0].Table != tbl || all[0].Peer == "" || all[0].Number != 0 || all[0].ID != id {
		t.Fatalf("streams %+v", all)
	}
	if strings.Contains(strings.Join(all[0].Header.Get("authorization"), ""), "Bearer") {
		t.Error("the transcript has the token")
	}
	want := []server.EventKind{zerobustest.Created, zerobustest.Opened, zerobustest.Ingested, zerobustest.Acked, zerobustest.Signalled, zerobustest.Signalled, zerobustest.HalfClosed, zerobustest.Ended}
	last := began
	for i, e := range all[0].Events {
		if e.Time.Before(last) || e.Time.After(time.Now()) {
			t.Errorf("event %+v, and the one before was at %v", e, last)
		}
		last = e.Time
		if i >= len(want) || e.Kind != want[i] {
			t.Fatalf("events %+v, want %v", all[0].Events, want)
		}
	}
	if e := all[0].Events[2]; !e.Batch || e.Records != 2 || e.Offset != 0 {
		t.Errorf("ingest %+v", e)
	}
}

func TestTheTranscriptHasTheCreateRequest(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	descriptor := serialized(t, int32Field)
	conn := dial(t, srv)
	for _, first := range [][]byte{createJSON(tbl), createProto(tbl, descriptor), ingest(jsonRecord, 0, `{}`)} {
		s := authorized(t, srv, conn, tbl)
		s.send(first)
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.code()
	}
	all := srv.Streams()
	if c := all[0].Create; c == nil || c.Table != tbl || c.RecordType != "JSON" || c.Descriptor != nil {
		t.Errorf("of a JSON stream: %+v", c)
	}
	if c := all[1].Create; c == nil || c.Table != tbl || c.RecordType != "PROTO" || !bytes.Equal(c.Descriptor, descriptor) {
		t.Errorf("of a PROTO stream: %+v", c)
	}
	if all[2].Create != nil || all[2].ID != "" {
		t.Errorf("of a stream that was not created: %+v", all[2])
	}
}

func TestTokenRequestsAreKeptWithoutSecrets(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Client("id", "hush"))
	began := time.Now()
	srv.InjectToken(zerobustest.TokenFault{Status: http.StatusServiceUnavailable})
	f := form(tbl)
	f.Set("client_secret", "hush")
	postToken(t, srv, "id", "hush", f)
	postToken(t, srv, "other", "hush", form(tbl))
	_, out := postToken(t, srv, "id", "hush", form(tbl))
	all := srv.TokenRequests()
	if len(all) != 3 {
		t.Fatalf("%d token requests, want 3", len(all))
	}
	for i, want := range []zerobustest.TokenRequest{{ClientID: "id", Status: 503}, {ClientID: "other", Status: 401}, {ClientID: "id", Status: 200}} {
		got := all[i]
		if got.ClientID != want.ClientID || got.Status != want.Status || got.Time.Before(began) || got.Form.Get("scope") != "all-apis" {
			t.Errorf("request %d is %+v, want %+v", i, got, want)
		}
		for name, values := range got.Form {
			if text := strings.Join(values, " "); strings.Contains(text, "hush") || strings.Contains(text, out["access_token"].(string)) {
				t.Errorf("request %d shows a secret in %s", i, name)
			}
		}
	}
}
