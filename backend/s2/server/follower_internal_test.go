package server

import (
	"bytes"
	"path/filepath"
	"testing"
)

// A client that follows a stream and does not read must not make the server keep everything that others append. The
// follower reads from the log again, and gets every record.
func TestSlowFollowerReadsFromTheLogAgain(t *testing.T) {
	srv := newServer(t, Config{Basins: []Basin{{"test-basin", true}}, Data: filepath.Join(t.TempDir(), "s2.db")})
	st, err := srv.liveStream("test-basin", "orders", nil, autoAppend)
	if err != nil {
		t.Fatal(err)
	}
	store := func(body []byte) {
		t.Helper()
		in := newInput()
		defer in.free()
		in.add(record{body: body})
		if err := st.append(srv, in, func(_ ack, err error) {
			if err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	var c cursor
	next := uint64(0)
	read := func() {
		t.Helper()
		for {
			chunks, _, change, err := st.chunksFrom(srv, &c, nil)
			if err != nil {
				t.Fatal(err)
			}
			if change != nil {
				return // at the tail
			}
			for i := range chunks {
				if chunks[i].first != next {
					t.Fatalf("the next batch begins at %d, want %d", chunks[i].first, next)
				}
				next = chunks[i].end()
			}
			c.advance(st, next)
		}
	}
	store([]byte("first"))
	if err := srv.waitDurable(); err != nil {
		t.Fatal(err)
	}
	read()
	body := bytes.Repeat([]byte("x"), 1<<20-100)
	n := uint64(maxBehind/len(body) + 1)
	for range n {
		store(body)
	}
	if err := srv.waitDurable(); err != nil {
		t.Fatal(err)
	}
	if c.link != nil {
		t.Error("the follower keeps more than its share in memory")
	}
	read()
	if next != n+1 {
		t.Errorf("the follower has read %d records, want %d", next, n+1)
	}
	store([]byte("last"))
	if err := srv.waitDurable(); err != nil {
		t.Fatal(err)
	}
	if c.link == nil {
		t.Error("a reader at the tail does not follow")
	}
	read()
	if next != n+2 {
		t.Errorf("the follower has read %d records, want %d", next, n+2)
	}
	st.unfollow(&c)
	if len(st.followers) > 0 {
		t.Errorf("%d followers are left", len(st.followers))
	}
}
