package main

import (
	"context"
	"errors"
	"time"

	"github.com/headrace/headrace/backend"
)

// patience is how long a command tries to reach a store. A server that was started a moment ago answers within
// patience. Tests set patience to 0.
var patience = 10 * time.Second

// attemptTime bounds one attempt. Without a bound, a silent host would hold up the command for ever.
const attemptTime = 10 * time.Second

// reach returns an error if the store does not answer. Without this check, a command with a wrong address would try
// again for ever, because consumers and relays wait for the return of a store. Every other failure is left to the
// command itself. A missing stream or a refused token is left to the command too: the command reports them
// with better words.
func (t *target) reach(ctx context.Context) error {
	if t.source == nil {
		return nil // a producer tries for half a minute when it begins
	}
	for giveUp := time.Now().Add(patience); ; {
		// A reader at the tail is the cheapest question that every store answers: no record moves.
		err := t.openReaderOnce(ctx)
		if !errors.Is(err, backend.ErrTransient) {
			return nil
		}
		if time.Now().After(giveUp) || !sleepUntil(ctx, time.Now().Add(200*time.Millisecond)) {
			return err
		}
	}
}

func (t *target) openReaderOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	r, err := t.source.OpenReader(ctx, backend.Latest)
	if err != nil {
		return err
	}
	return r.Close()
}
