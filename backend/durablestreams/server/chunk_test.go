package server_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// A response has as many appends as fit into 4 MiB. An event has only as many as fit into 1 MiB, because clients hold a whole
// event in memory. The Config can make both smaller.
func TestChunkSizes(t *testing.T) {
	const appends, each = 20, 512 << 10
	m := server.NewMemory()
	defer m.Close()
	if _, _, err := m.Create(t.Context(), "/s", server.Creation{ContentType: "application/json"}); err != nil {
		t.Fatal(err)
	}
	one := []byte(`"` + strings.Repeat("x", each-3) + `",`)
	for i := range appends {
		a := server.Append{ContentType: "application/json", Data: one, Close: i == appends-1}
		if _, err := m.Append(context.Background(), "/s", a); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		opts            []durablestreamstest.Option
		response, event int // appends in them
	}{
		{nil, 8, 2},
		{[]durablestreamstest.Option{durablestreamstest.ChunkBytes(16 << 20)}, appends, 2},
		{[]durablestreamstest.Option{durablestreamstest.ChunkBytes(each)}, 1, 1},
	} {
		h := durablestreamstest.Handler(m, test.opts...)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/s?offset=-1", nil))
		if n := w.Body.Len() - 1; n != test.response*each {
			t.Errorf("a response has %d bytes, want %d", n, test.response*each)
		}
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/s?offset=-1&live=sse", nil))
		if n := strings.Count(w.Body.String(), "event: data"); n != appends/test.event {
			t.Errorf("%d events, want %d", n, appends/test.event)
		}
	}
}
