package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// endedContext checks whether a call under an ended ctx changes nothing, and whether the error allows a retry.
func endedContext(ctx context.Context, s checkpoint.Store) error {
	held, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, errLoad := s.Load(ended, key)
	_, errClaim := s.Claim(ended, key)
	errSave := s.Save(ended, key, checkpoint.Checkpoint{Offset: "2", Epoch: held.Epoch})
	for _, err := range []error{errLoad, errClaim, errSave} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrTransient) {
			return fmt.Errorf("Load, Claim and Save under an ended context: %v, %v, %v; want its error and ErrTransient",
				errLoad, errClaim, errSave)
		}
	}
	return holds(ctx, s, key, held)
}

// concurrentClaims checks whether concurrent claims get different epochs, and whether only the highest epoch may save.
func concurrentClaims(ctx context.Context, s checkpoint.Store) error {
	const claimers, each = 8, 8
	if _, err := claimAndSave(ctx, s, key, "1"); err != nil {
		return err
	}
	claims := make(chan checkpoint.Checkpoint, claimers*each)
	err := together(claimers, func(int) error {
		for range each {
			cp, err := s.Claim(ctx, key)
			if err != nil {
				return err
			}
			claims <- cp
		}
		return nil
	})
	if err != nil {
		return err
	}
	close(claims)
	seen := make(map[uint64]bool)
	var newest checkpoint.Checkpoint
	for cp := range claims {
		if seen[cp.Epoch] {
			return fmt.Errorf("epoch %d was given out twice", cp.Epoch)
		}
		seen[cp.Epoch] = true
		if cp.Epoch > newest.Epoch {
			newest = cp
		}
	}
	if err := holds(ctx, s, key, newest); err != nil {
		return err
	}
	for epoch := range seen {
		if epoch == newest.Epoch {
			continue
		}
		older := checkpoint.Checkpoint{Offset: "2", Epoch: epoch}
		if err := refuses(ctx, s, key, older, newest, backend.ErrFenced); err != nil {
			return err
		}
	}
	newest.Offset = "3"
	return s.Save(ctx, key, newest)
}

// claimAgainstSaves claims the key while another consumer saves. The claim must return the offset of the last
// successful save, and no later save may succeed. A store that checks the epoch in one step and stores in a second step
// fails here.
func claimAgainstSaves(ctx context.Context, s checkpoint.Store) error {
	for range 10 {
		older, err := s.Claim(ctx, key)
		if err != nil {
			return err
		}
		var newer checkpoint.Checkpoint
		last := older.Offset
		saving, claimed := make(chan struct{}), make(chan struct{})
		err = together(2, func(i int) (err error) {
			if i == 0 {
				// We close claimed on an error too, because the saving goroutine waits for the channel.
				defer close(claimed)
				<-saving
				newer, err = s.Claim(ctx, key)
				return err
			}
			last, err = saveUntilFenced(ctx, s, older, saving, claimed)
			return err
		})
		if err != nil {
			return err
		}
		if newer.Offset != last {
			return fmt.Errorf("Claim returned offset %q, the last Save that succeeded before it was %q", newer.Offset, last)
		}
		if err := holds(ctx, s, key, newer); err != nil {
			return fmt.Errorf("after the older consumer was fenced: %w", err)
		}
	}
	return nil
}

// saveUntilFenced saves until the store refuses a save, and returns the last stored offset. saveUntilFenced closes saving
// after its first save. The store must refuse every save that begins after claimed was closed. Therefore saveUntilFenced
// ends also on a store without fencing.
func saveUntilFenced(
	ctx context.Context, s checkpoint.Store, cp checkpoint.Checkpoint, saving, claimed chan struct{},
) (last backend.Offset, err error) {
	// We close saving on an error too, because the claiming goroutine waits for the first save.
	begun := sync.OnceFunc(func() { close(saving) })
	defer begun()
	for n := 0; ; n++ {
		late := false
		select {
		case <-claimed:
			late = true
		default:
		}
		cp.Offset = backend.Offset(strconv.Itoa(n))
		err := s.Save(ctx, key, cp)
		switch {
		case errors.Is(err, backend.ErrFenced) && n > 0:
			return last, nil
		case err != nil:
			return last, err
		case late:
			return last, fmt.Errorf("Save(%v) succeeded after a newer Claim had returned", cp)
		}
		last = cp.Offset
		begun()
	}
}

// concurrentKeys checks whether consumers of different keys disturb each other. A store with all keys in one place could
// lose the save of a consumer while storing the save of another consumer.
func concurrentKeys(ctx context.Context, s checkpoint.Store) error {
	const consumers, saves = 8, 10
	held := make([]checkpoint.Checkpoint, consumers)
	name := func(i int) string { return "consumer-" + strconv.Itoa(i) }
	err := together(consumers, func(i int) error {
		for n := range saves {
			cp, err := claimAndSave(ctx, s, name(i), backend.Offset(strconv.Itoa(n)))
			if err != nil {
				return err
			}
			held[i] = cp
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, cp := range held {
		if err := holds(ctx, s, name(i), cp); err != nil {
			return err
		}
	}
	return nil
}

// together runs f n times at the same time, and joins the errors.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}
