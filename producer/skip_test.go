package producer_test

import (
	"testing"

	"github.com/headrace/headrace/producer"
)

func TestSkipStandsForNoStoredRecord(t *testing.T) {
	if producer.Skip == (producer.Receipt{}) {
		t.Error("Skip is the zero Receipt")
	}
	select {
	case <-producer.Skip.Done():
	default:
		t.Error("Skip is not done")
	}
	if off, err := producer.Skip.Wait(t.Context()); off != "" || err == nil {
		t.Errorf("Wait: %q and %v, want an error", off, err)
	}
}
