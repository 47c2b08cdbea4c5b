package producer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

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

// doorless is a sink whose Open returns nothing from the given opening on.
type doorless struct {
	backend.Sink
	from int
}

func (d doorless) NewAppender(f backend.Format) backend.Appender {
	return &doorlessAppender{Appender: d.Sink.NewAppender(f), left: d.from}
}

type doorlessAppender struct {
	backend.Appender
	left int
}

func (a *doorlessAppender) Open(ctx context.Context) (backend.Session, error) {
	if a.left--; a.left < 0 {
		return nil, nil
	}
	return a.Appender.Open(ctx)
}

// Without an error, the producer would open again and again without a pause, and this test would not end.
func TestSinkThatOpensNothingIsFaulty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		if _, err := producer.New(t.Context(), doorless{memory.New(), 0}, text()); err == nil || !strings.Contains(err.Error(), "faulty") {
			t.Errorf("New: %v, want that the sink is faulty", err)
		}
		p := open(t, doorless{memory.New(), 1}, producer.IdleTimeout(time.Minute))
		time.Sleep(3 * time.Minute)
		if err := p.Send(t.Context(), "a"); !errors.Is(err, backend.ErrClosed) || !strings.Contains(err.Error(), "faulty") {
			t.Errorf("Send: %v, want that the sink is faulty", err)
		}
	})
}
