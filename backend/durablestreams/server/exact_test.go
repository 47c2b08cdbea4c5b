package server_test

import (
	"path/filepath"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

// A file keeps the names that clients give as exact bytes, even if they are not UTF-8.
func TestBytesSurviveRestart(t *testing.T) {
	const sequence, source = "\xfe", "/s\xff"
	path := filepath.Join(t.TempDir(), "streams.db")
	fork := server.Creation{Fork: &server.Fork{Source: source, At: server.Now}}
	item := server.Append{ContentType: "text/plain", Data: []byte("x"), Sequence: sequence}
	run := func(f func(*server.Bolt)) {
		t.Helper()
		b, err := server.OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		f(b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(func(b *server.Bolt) {
		if _, _, err := b.Create(t.Context(), source, server.Creation{ContentType: "text/plain"}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Append(t.Context(), source, item); err != nil {
			t.Fatal(err)
		}
		if _, created, err := b.Create(t.Context(), "/fork", fork); err != nil || !created {
			t.Fatal(created, err)
		}
	})
	for range 2 { // the second time reads rows that were written again
		run(func(b *server.Bolt) {
			if out, err := b.Append(t.Context(), source, item); err != server.ErrSequence {
				t.Errorf("a repeated sequence: %+v, %v", out, err)
			}
			if _, created, err := b.Create(t.Context(), "/fork", fork); err != nil || created {
				t.Errorf("the same fork again: %v, %v", created, err)
			}
			if _, err := b.Append(t.Context(), "/fork", server.Append{ContentType: "text/plain", Data: []byte("y")}); err != nil {
				t.Error(err)
			}
		})
	}
}
