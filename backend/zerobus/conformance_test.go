package zerobus_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
)

func TestConformance(t *testing.T) {
	for name, h := range map[string]backendtest.Harness{
		"JSON": {
			Format:  jsonFormat,
			Refuses: []string{"binary", "empty", "array", "lines"}, // which are no JSON objects in UTF-8
			Value: func(i, n int) []byte {
				v := fmt.Appendf(nil, `{"i":"%06d`, i)
				return append(append(v, bytes.Repeat([]byte{'x'}, max(n-len(v)-2, 0))...), `"}`...)
			},
		},
		"PROTO": {
			Format: backend.Format{ContentType: "application/x-protobuf", Schema: []byte("\x0a\x04Test")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.OtherFormat = backend.Format{ContentType: "text/plain"}
			h.Late = true
			h.Open = func(t testing.TB) backendtest.Target {
				s := serve(t)
				return backendtest.Target{
					Sink: clientOf(config(s)).Table(table),
					Stored: func() (recs []backend.Record, err error) {
						for _, r := range s.Rows(table) {
							recs = append(recs, backend.Record{Value: r.Value})
						}
						return recs, nil
					},
					Break:       s.DropConnections,
					MissingSink: clientOf(config(s)).Table("main.air.nothing"),
				}
			}
			backendtest.Run(t, h)
		})
	}
}
