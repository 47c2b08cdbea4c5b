package main

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/examples/internal/airpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The strict in-process table takes both formats, so their rows fit its columns.
func TestBothFormatsFitTheTable(t *testing.T) {
	t.Setenv("ZEROBUS_ENDPOINT", "")
	t.Setenv("ZEROBUS_TABLE", "")
	if err := run(t.Context(), 2500); err != nil {
		t.Fatal(err)
	}
}

// A workspace that the environment names gets the same readings in both formats, with its own table and credentials.
func TestWorkspaceOfTheEnvironment(t *testing.T) {
	const table, n = "prod.city.air", 500
	srv := zerobustest.New(t, zerobustest.Client("id", "secret"), zerobustest.Table(table,
		zerobustest.Column{Name: "station", Type: "STRING", Required: true},
		zerobustest.Column{Name: "taken_us", Type: "TIMESTAMP", Required: true},
		zerobustest.Column{Name: "pm25", Type: "DOUBLE"},
		zerobustest.Column{Name: "number", Type: "BIGINT"}))
	t.Setenv("ZEROBUS_ENDPOINT", srv.Endpoint)
	t.Setenv("ZEROBUS_WORKSPACE_URL", srv.UnityCatalogURL)
	t.Setenv("ZEROBUS_TABLE", table)
	t.Setenv("ZEROBUS_CLIENT_ID", "id")
	t.Setenv("ZEROBUS_CLIENT_SECRET", "secret")
	if err := run(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	rows := srv.Rows(table)
	if len(rows) != 2*n {
		t.Fatalf("%d rows, want %d", len(rows), 2*n)
	}
	for i := range n {
		var j Reading
		var p airpb.Reading
		if err := json.Unmarshal(rows[i].Value, &j); err != nil || !rows[i].JSON {
			t.Fatalf("row %d is no JSON: %v", i, err)
		}
		if err := proto.Unmarshal(rows[n+i].Value, &p); err != nil || rows[n+i].JSON {
			t.Fatalf("row %d is no protobuf: %v", n+i, err)
		}
		if j.Number != int64(i) || p.GetNumber() != int64(i) || j.Station != p.GetStation() || j.PM25 != p.GetPm25() {
			t.Fatalf("reading %d is %+v as JSON and %v as protobuf", i, j, &p)
		}
	}
}
