package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// When the codec panics, the handlers of the records before it are finished, and no goroutine stays behind.
func TestPanicOfTheCodecLeavesNoHandlerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := codec.Func("text/plain", func(dst []byte, v int) ([]byte, error) { return fmt.Append(dst, v), nil },
			func(src []byte) (int, error) {
				if string(src) == "5" {
					panic("five")
				}
				return 0, nil
			})
		c, err := consumer.New[int](newScript(recs(0, 10)), panics, consumer.StartAt(offset(0)))
		if err != nil {
			t.Fatal(err)
		}
		var begun, ended atomic.Int32
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "five") {
				t.Errorf("panicked with %v", p)
			}
			if begun.Load() != ended.Load() {
				t.Errorf("%d handlers began and %d have ended", begun.Load(), ended.Load())
			}
		}()
		_ = c.Process(t.Context(), func(context.Context, consumer.Message[int]) error {
			begun.Add(1)
			defer ended.Add(1)
			time.Sleep(time.Second)
			return nil
		}, consumer.Concurrency(3))
	})
}

// FailNow in a handler calls runtime.Goexit.
func TestHandlerThatDoesNotReturnEndsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(t, count(t, 10), consumer.StopAtTail())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Process(ctx, func(_ context.Context, m consumer.Message[int]) error {
			if m.Value == 3 {
				runtime.Goexit()
			}
			return nil
		})
		var failed *consumer.ProcessError
		if !errors.As(err, &failed) || string(failed.Record.Value) != "3" || !strings.Contains(err.Error(), "Goexit") {
			t.Error(err)
		}
	})
}

// A nil pointer that is returned as an error is an error, and panics when it is used.
func TestErrorThatIsANilPointerIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *consumer.BatchError
		c := newConsumer(t, count(t, 10), consumer.StopAtTail())
		failures := map[string]error{
			"record": c.Process(t.Context(), func(context.Context, consumer.Message[int]) error { return none }, consumer.Retries(0)),
			"batch":  c.ProcessBatches(t.Context(), func(context.Context, []consumer.Message[int]) error { return none }, consumer.Retries(0)),
		}
		for name, err := range failures {
			if !errors.As(err, new(*consumer.PanicError)) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestPipeRefusesANilFunction(t *testing.T) {
	c := newConsumer(t, count(t, 10), consumer.StopAtTail())
	if err := c.Pipe(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Error(err)
	}
}
