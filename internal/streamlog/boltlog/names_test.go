package boltlog

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Whoever asks for names that do not exist leaves nothing behind, and who uses one name at the same time gets one store.
func TestUnusedNamesCostNothing(t *testing.T) {
	db, err := Open(tempPath(t), 0o600, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	used := db.store("used")
	for i := range 1000 {
		db.store(fmt.Sprintf("name-%d", i))
	}
	held := func() int {
		db.streamsMu.Lock()
		defer db.streamsMu.Unlock()
		return len(db.streams)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); held() > 1; <-tick.C {
		runtime.GC()
		if time.Now().After(deadline) {
			t.Fatalf("%d names are held", held())
		}
	}
	if db.store("used") != used {
		t.Error("a store in use was replaced")
	}
}
