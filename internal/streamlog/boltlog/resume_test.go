package boltlog

import (
	"errors"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// The origin that a producer keeps names the stream, also if the stream was empty when the producer began. Otherwise a stream made
// again under the same name, with as many records, would look like the old one.
func TestResumedProducerKnowsItsStreamFromALaterOneOfTheName(t *testing.T) {
	db := open(t, tempPath(t))
	_, origin, err := streamlog.New("s", db.Store("s"), backend.Limits{}).Resume(ctx, backend.Format{}, backend.Resumption{Name: "relay"})
	if err != nil {
		t.Fatal(err)
	}
	if tail := db.Store("s").Board().State().Tail; tail != 0 {
		t.Errorf("the stream holds %d records", tail)
	}
	if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("a")}); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("of another producer")}); err != nil {
		t.Fatal(err)
	}
	later := backend.Resumption{Name: "relay", Seq: 1, Records: 1, Sent: 1, Origin: origin}
	_, _, err = streamlog.New("s", db.Store("s"), backend.Limits{}).Resume(ctx, backend.Format{}, later)
	if !errors.Is(err, backend.ErrConflict) {
		t.Errorf("%v, want ErrConflict", err)
	}
}
