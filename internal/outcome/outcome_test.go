package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/outcome"
)

var sentinels = map[string]error{
	"ErrTransient": backend.ErrTransient, "ErrIndeterminate": backend.ErrIndeterminate, "ErrRejected": backend.ErrRejected,
	"ErrTooLarge": backend.ErrTooLarge, "ErrFenced": backend.ErrFenced, "ErrConflict": backend.ErrConflict,
	"ErrOutOfRange": backend.ErrOutOfRange, "ErrNotFound": backend.ErrNotFound, "ErrUnauthorized": backend.ErrUnauthorized,
	"ErrUnsupported": backend.ErrUnsupported, "ErrStreamClosed": backend.ErrStreamClosed, "ErrClosed": backend.ErrClosed,
}

func TestTheMeaningIsKeptAndCanBeChanged(t *testing.T) {
	for name, s := range sentinels {
		err := fmt.Errorf("op: %w: %w", s, io.ErrUnexpectedEOF)
		same := outcome.Of(err).Error(err)
		for other, o := range sentinels {
			if errors.Is(same, o) != errors.Is(err, o) {
				t.Errorf("%s became %s: %v", name, other, errors.Is(same, o))
			}
		}
		if same.Error() != err.Error() || !errors.Is(same, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, same)
		}
		none := outcome.Outcome{}.Error(err)
		for other, o := range sentinels {
			if errors.Is(none, o) {
				t.Errorf("%s without a meaning is still %s", name, other)
			}
		}
		if other := outcome.Of(err).And(backend.ErrFenced).Not(backend.ErrFenced).Error(err); errors.Is(other, backend.ErrFenced) {
			t.Errorf("%s: a kind that was taken away is still there", name)
		}
		if fenced := outcome.Of(err).And(backend.ErrFenced).Error(err); !errors.Is(fenced, backend.ErrFenced) {
			t.Errorf("%s: a kind that was added is not there", name)
		}
	}
}

func TestContextErrorsAreKinds(t *testing.T) {
	err := fmt.Errorf("save: %w", context.DeadlineExceeded)
	if lost := outcome.Of(err).Not(context.DeadlineExceeded).Error(err); errors.Is(lost, context.DeadlineExceeded) {
		t.Error("the end of a context was not taken away")
	}
}

type later struct{}

func (later) Error() string             { return "later" }
func (later) RetryAfter() time.Duration { return time.Minute }

func TestTheDelayOfTheStoreIsKept(t *testing.T) {
	if d := backend.RetryAfter(outcome.Outcome{}.Error(fmt.Errorf("op: %w", later{}))); d != time.Minute {
		t.Errorf("retry after %v", d)
	}
}

// A new sentinel of package backend must be added to the outcome, or it would pass unseen.
func TestEverySentinelOfBackendIsKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../backend/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		if v, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
			n++
			if _, ok := sentinels[v.Names[0].Name]; !ok {
				t.Errorf("%s is not tested here", v.Names[0].Name)
			}
		}
		return true
	})
	if n < 12 {
		t.Errorf("found %d sentinels", n)
	}
}
