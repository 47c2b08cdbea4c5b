package group

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
)

// Streams are the streams of a group: their names, and how to open each stream. [Fixed] and [Discover] make Streams.
type Streams struct {
	open  func(stream string) backend.Source
	names []string
	list  func(ctx context.Context) ([]string, error) // nil: the names are fixed
	every time.Duration
}

// Fixed are streams whose names do not change while the group runs. When this member takes a stream, open is called, and
// must do no I/O. All members must have the same names: a member works on the streams of its own list only. A name that
// comes twice counts once.
func Fixed(open func(stream string) backend.Source, names ...string) Streams {
	return Streams{open: open, names: slices.Clone(names)}
}

// Discover are streams that come and go: the group calls list for their names when the group begins, and after every. A
// member gives back a stream that is not listed any more. open is called as with [Fixed].
//
// If list fails at the beginning, the group ends with the error of list, except after [backend.ErrTransient]. Later
// errors are logged, and the names stay as they were until list succeeds again. A panic of list is an error with the
// stack.
func Discover(open func(stream string) backend.Source, list func(ctx context.Context) ([]string, error), every time.Duration) Streams {
	return Streams{open: open, list: list, every: every}
}

// listGuarded calls list. A panic would end the process where the member lists the streams again, in a goroutine of its own.
func (s Streams) listGuarded(ctx context.Context) (names []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &consumer.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return s.list(ctx)
}

func (s Streams) check(group string) error {
	switch {
	case s.open == nil:
		return errors.New("group: the streams have no function that opens them")
	case s.list != nil && s.every <= 0:
		return fmt.Errorf("group: Discover every %v: must be more than 0", s.every)
	case s.list == nil && len(s.names) == 0:
		return errors.New("group: there are no streams: give Fixed at least one name, or use Discover")
	}
	_, err := sorted(group, s.names)
	return err
}

// sorted returns the names in order, each once.
func sorted(group string, names []string) ([]string, error) {
	if err := lease.Check(group, "any", names...); err != nil {
		return nil, fmt.Errorf("group: the streams of %s: %w", group, err)
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), nil
}
