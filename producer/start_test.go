package producer_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

// defaultLog collects what is logged with slog.Default during a test.
func defaultLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	return &log
}

func TestAFailedStartIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := defaultLog(t)
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Every(backendtest.OnOpen, 1, backendtest.Fail(backend.ErrTransient)))
		if _, err := producer.New(t.Context(), sink, text(), producer.Attempts(3)); err == nil {
			t.Fatal("opened")
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "cannot be opened yet") {
			t.Errorf("%d warnings: %s", n, log)
		}
	})
}

func TestAGoodStartLogsNothingByDefault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := defaultLog(t)
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnSend, 1, backendtest.DropBefore(nil)))
		p := open(t, sink)
		if err := p.Send(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		closeNow(t, p)
		if log.Len() > 0 {
			t.Errorf("logged: %s", log)
		}
	})
}
