package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTransferSumsUpWhatTheStreamHolds(t *testing.T) {
	stream := memory.New()
	for want := 150; want <= 300; want += 150 {
		total, err := Transfer(t.Context(), stream, 25, 50, 75)
		if err != nil {
			t.Fatal(err)
		}
		if total != want {
			t.Errorf("total %d, want %d", total, want)
		}
	}
}
