package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// emptyKey checks that all three methods refuse an empty key. An empty key usually comes from a forgotten setting.
func emptyKey(ctx context.Context, s checkpoint.Store) error {
	_, errLoad := s.Load(ctx, "")
	_, errClaim := s.Claim(ctx, "")
	errSave := s.Save(ctx, "", checkpoint.Checkpoint{Offset: "1", Epoch: 1})
	for _, err := range []error{errLoad, errClaim, errSave} {
		if !errors.Is(err, backend.ErrRejected) {
			return fmt.Errorf("Load, Claim and Save of an empty key: %v, %v, %v; want ErrRejected", errLoad, errClaim, errSave)
		}
	}
	return nil
}

// distinctKeys contains pairs of keys that some media treat as equal. Collations fold case and drop trailing spaces,
// file systems normalize Unicode, patterns have wildcards, and paths have "..".
var distinctKeys = []string{
	"a", "A", "a ", " a", "a/", "a/b", "a/b/../b", "aa", "%", "_", "é", "e\u0301", "ß", "ss", "0", "00", "null",
}

// keysIndependent checks whether each of distinctKeys has a checkpoint of its own. The number of claims differs from key
// to key, and with it the epoch.
func keysIndependent(ctx context.Context, s checkpoint.Store) error {
	held := make(map[string]checkpoint.Checkpoint)
	for i, key := range distinctKeys {
		if err := holds(ctx, s, key, checkpoint.Checkpoint{}); err != nil {
			return fmt.Errorf("before the key was used: %w", err)
		}
		for range i%3 + 1 {
			cp, err := claimAndSave(ctx, s, key, backend.Offset(fmt.Sprint(i)))
			if err != nil {
				return err
			}
			held[key] = cp
		}
	}
	for key, cp := range held {
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
	}
	return nil
}

// strange holds keys and offsets that a medium may change. A store may refuse only strings other than text.
var strange = []struct {
	s    string
	text bool
}{
	{"Bestellungen/Köln/☃/\U0001F30A", true},
	{"line one\nline two\r\n", true},
	{"tab\tquote\"apostrophe'backslash\\percent%sbacktick`", true},
	{"'; drop table checkpoints; --", true},
	{"../../etc/passwd", true},
	{" ", true},
	{"\ufeffbom \u202e\u200b\ufffd", true},
	{"1e400", true},
	{"NUL\x00inside", false},
	{"\x00", false},
	{"latin-1: K\xf6ln", false},
	{"\xff\xfe\xfd", false},
}

// bytesKept checks that the store returns strange keys and offsets byte for byte, or refuses them.
func bytesKept(ctx context.Context, s checkpoint.Store) error {
	for _, c := range strange {
		refused := func(err error) bool { return !c.text && errors.Is(err, backend.ErrRejected) }
		_, err := claimAndSave(ctx, s, c.s, "1")
		if err != nil && !refused(err) {
			return fmt.Errorf("key %q: %w", c.s, err)
		}
		if _, err = claimAndSave(ctx, s, key, "1"); err != nil {
			return err
		}
		if _, err = claimAndSave(ctx, s, key, backend.Offset(c.s)); err != nil && !refused(err) {
			return fmt.Errorf("offset %q: %w", c.s, err)
		}
	}
	return nil
}

// atTheLimit checks that keys and offsets of the greatest allowed length are kept.
func atTheLimit(ctx context.Context, s checkpoint.Store) error {
	long := strings.Repeat("k", checkpoint.KeyBytes)
	if _, err := claimAndSave(ctx, s, long, backend.Offset(strings.Repeat("o", checkpoint.OffsetBytes))); err != nil {
		return err
	}
	// A medium that cuts long keys would treat these two keys as equal.
	return holds(ctx, s, long[1:]+"l", checkpoint.Checkpoint{})
}

// beyondTheLimit checks whether the store refuses longer keys and offsets, and whether a refusal changes nothing.
func beyondTheLimit(ctx context.Context, s checkpoint.Store) error {
	long := strings.Repeat("k", checkpoint.KeyBytes+1)
	_, errLoad := s.Load(ctx, long)
	_, errClaim := s.Claim(ctx, long)
	errSave := s.Save(ctx, long, checkpoint.Checkpoint{Offset: "1", Epoch: 1})
	for _, err := range []error{errLoad, errClaim, errSave} {
		if !errors.Is(err, backend.ErrTooLarge) {
			return fmt.Errorf("Load, Claim and Save of a key of %d bytes: %v, %v, %v; want ErrTooLarge",
				len(long), errLoad, errClaim, errSave)
		}
	}
	held, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	cp := checkpoint.Checkpoint{Offset: backend.Offset(strings.Repeat("o", checkpoint.OffsetBytes+1)), Epoch: held.Epoch}
	if err := s.Save(ctx, key, cp); !errors.Is(err, backend.ErrTooLarge) {
		return fmt.Errorf("Save of an offset of %d bytes: %v, want ErrTooLarge", len(cp.Offset), err)
	}
	return holds(ctx, s, key, held)
}

// keysListed checks whether a [checkpoint.Lister] lists the claimed keys byte for byte and sorted, whether Load of
// another key adds no key, and whether the end of ctx is an error.
func keysListed(ctx context.Context, s checkpoint.Store) error {
	l, ok := s.(checkpoint.Lister)
	if !ok {
		return fmt.Errorf("%w: it is no checkpoint.Lister", errNotOffered)
	}
	if keys, err := l.Keys(ctx); err != nil || len(keys) > 0 {
		return fmt.Errorf("an empty store has the Keys: %q, %v", keys, err)
	}
	for i, key := range distinctKeys {
		// Half of the keys are claimed and not saved, and some are claimed twice.
		_, err := s.Claim(ctx, key)
		if err == nil && i%2 == 0 {
			_, err = claimAndSave(ctx, s, key, "1")
		}
		if err != nil {
			return err
		}
		if _, err := s.Load(ctx, key+" never claimed"); err != nil {
			return err
		}
	}
	want := slices.Sorted(slices.Values(distinctKeys))
	if keys, err := l.Keys(ctx); err != nil || !slices.Equal(keys, want) {
		return fmt.Errorf("the Keys are %q, %v; want %q", keys, err, want)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Keys(ended); !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrTransient) {
		return fmt.Errorf("the Keys under an ended context: %v; want its error and ErrTransient", err)
	}
	return nil
}
