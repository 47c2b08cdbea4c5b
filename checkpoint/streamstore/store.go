package streamstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Store is a [checkpoint.Store] in a stream. Many goroutines may use a Store, and many Stores may use a stream.
//
// Errors, in addition to those of [checkpoint.Store]: [*checkpoint.CorruptError] for a record that is no checkpoint, and
// the errors of the stream's backend.
type Store struct {
	stream backend.Stream
	trim   func(context.Context, backend.Offset) error // nil: records are kept for ever
	every  int

	turn chan struct{} // full while a call works; a channel, so that a caller can stop waiting
	at   backend.Offset
	keys map[string]*current
	read int // number of records that were read

	compacted int            // the value of read at the last compaction
	cut       backend.Offset // at the last compaction, all records before cut were replaced; "" before the first compaction
}

// A current is the newest record of a key that took effect, with its place.
type current struct {
	entry
	place backend.Offset
	no    int // number of the record, in the order of reading
}

var (
	_ checkpoint.Store  = (*Store)(nil)
	_ checkpoint.Lister = (*Store)(nil)
)

// An Option tunes a Store.
type Option func(*Store)

// Trim drops replaced records; f is the Trim method of the stream. The Store calls f about once for each n records, where n is
// every or twice the number of the keys, whichever is larger. At least n records stay. If others append more than n records between
// an append of a Store and its next read, the Store cannot know whether its own record took effect. The call then fails with
// [backend.ErrIndeterminate]. A good value for every is 1,000.
func Trim(f func(ctx context.Context, before backend.Offset) error, every int) Option {
	return func(s *Store) { s.trim, s.every = f, every }
}

// New returns the store in stream, and does no I/O.
func New(stream backend.Stream, opts ...Option) *Store {
	s := &Store{stream: stream, turn: make(chan struct{}, 1), at: backend.Earliest, keys: make(map[string]*current)}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Load implements [checkpoint.Store].
func (s *Store) Load(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	err = s.call(ctx, checkpoint.CheckKey(key), func() error {
		if _, err := s.catchUp(ctx, ""); err != nil {
			return err
		}
		cp = s.stored(key)
		return nil
	})
	if err != nil {
		return checkpoint.Checkpoint{}, failed("load", key, err)
	}
	return cp, nil
}

// Claim implements [checkpoint.Store].
func (s *Store) Claim(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	err = s.call(ctx, checkpoint.CheckKey(key), func() error {
		cp, err = s.update(ctx, key, checkpoint.Raise)
		return err
	})
	if err != nil {
		return checkpoint.Checkpoint{}, failed("claim", key, err)
	}
	return cp, nil
}

// Save implements [checkpoint.Store].
func (s *Store) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	err := s.call(ctx, checkpoint.CheckSave(key, cp), func() error {
		_, err := s.update(ctx, key, func(stored checkpoint.Checkpoint) (checkpoint.Checkpoint, error) {
			return cp, checkpoint.Fence(stored, cp)
		})
		return err
	})
	if err != nil {
		return failed("save", key, err)
	}
	return nil
}

// Keys implements [checkpoint.Lister].
func (s *Store) Keys(ctx context.Context) (keys []string, err error) {
	err = s.call(ctx, nil, func() error {
		_, err := s.catchUp(ctx, "")
		keys = slices.Sorted(maps.Keys(s.keys))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("streamstore: list the keys: %w", err)
	}
	return keys, nil
}

// call runs f when no other call of this Store runs. refused is the error of the arguments, or nil.
func (s *Store) call(ctx context.Context, refused error, f func() error) error {
	if refused != nil {
		return refused
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
	return f()
}

func (s *Store) stored(key string) checkpoint.Checkpoint {
	if k := s.keys[key]; k != nil {
		return k.checkpoint()
	}
	return checkpoint.Checkpoint{}
}

// update replaces the content of key by the result of change, and tries again while others are faster.
func (s *Store) update(ctx context.Context, key string, change func(checkpoint.Checkpoint) (checkpoint.Checkpoint, error)) (checkpoint.Checkpoint, error) {
	if _, err := s.catchUp(ctx, ""); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	for {
		cp, err := change(s.stored(key))
		if err != nil {
			return checkpoint.Checkpoint{}, err
		}
		won, err := s.write(ctx, key, cp)
		if err != nil {
			return checkpoint.Checkpoint{}, err
		}
		if won {
			s.compact(ctx)
			return cp, nil
		}
	}
}

// write appends the next version of key, and reports whether the appended record took effect.
func (s *Store) write(ctx context.Context, key string, cp checkpoint.Checkpoint) (won bool, err error) {
	e := entry{Key: []byte(key), Version: 1, Writer: rand.Text(), Epoch: cp.Epoch, Offset: []byte(cp.Offset), Ahead: []byte(cp.Ahead)}
	if k := s.keys[key]; k != nil {
		e.Version = k.Version + 1
	}
	value, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	if err := s.append(ctx, value); err != nil {
		return false, err
	}
	o, err := s.catchUp(ctx, e.Writer)
	if err != nil {
		// The record is stored, and a repeated call stores the same or claims anew.
		return false, fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	if !o.seen {
		return false, fmt.Errorf("%w: the record was trimmed before it was read", backend.ErrIndeterminate)
	}
	return o.won, nil
}

// append stores one record. Each record has an appender of its own. With one appender for all records, the fate of a record would
// have to be found out after a failure, before the next record could be sent.
func (s *Store) append(ctx context.Context, value []byte) error {
	session, err := s.stream.NewAppender(backend.Format{ContentType: "application/json"}).Open(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Send(ctx, 0, []backend.Record{{Value: value}}); err != nil {
		// Send only says that the batch was not taken. Recv says why.
		_, reason := session.Recv(ctx)
		return errors.Join(reason, err)
	}
	_, err = session.Recv(ctx)
	return err
}

// An outcome says whether a record took effect.
type outcome struct {
	seen bool // the record was read, and all records before: only then we know whether the record took effect
	won  bool // the record took effect
}

// catchUp reads to the tail or, given a writer, until its record was read.
func (s *Store) catchUp(ctx context.Context, writer string) (outcome, error) {
	o, err := s.follow(ctx, writer)
	if !errors.Is(err, backend.ErrOutOfRange) || s.at == backend.Earliest {
		return o, err
	}
	// Another Store has trimmed records before this Store has read the records. The remaining records hold the newest
	// version of every key. Therefore the state is right again at the tail. But here a record that lost against a trimmed
	// record looks as if the record had won.
	s.at = backend.Earliest
	_, err = s.follow(ctx, "")
	return outcome{}, err
}

// follow reads from the place at on, to the tail or, given a writer, until its record was read.
func (s *Store) follow(ctx context.Context, writer string) (o outcome, err error) {
	r, err := s.stream.OpenReader(ctx, s.at)
	if err != nil {
		return o, err
	}
	defer r.Close()
	for {
		b, err := r.Read(ctx)
		switch {
		case err == io.EOF && writer == "":
			return o, nil
		case err == io.EOF: // the stream was closed for good before the record of writer
			return o, backend.ErrStreamClosed
		case err != nil:
			return o, err
		}
		for i := range b.Records {
			e, err := decode(b.Records[i].Value)
			if err != nil {
				return o, &checkpoint.CorruptError{Place: fmt.Sprintf("the record at %q", b.Records[i].Offset), Err: err}
			}
			took := s.take(e, b.Records[i].Offset)
			if e.Writer == writer {
				// Others may have made further versions since, perhaps in this very batch.
				o = outcome{seen: true, won: took}
			}
		}
		if b.Next != "" {
			s.at = b.Next
		}
		if o.seen || writer == "" && b.CaughtUp {
			return o, nil
		}
	}
}

// take lets a record take effect if its version is newer than the version of its key. A version that is higher by more
// than one is newer, too: the records in between were trimmed, and the writer had read them.
func (s *Store) take(e *entry, place backend.Offset) bool {
	s.read++
	if k := s.keys[string(e.Key)]; k != nil && e.Version <= k.Version {
		return false
	}
	s.keys[string(e.Key)] = &current{entry: *e, place: place, no: s.read}
	return true
}

// failed names the call and the key, cut to 64 bytes, which fit into a log line.
func failed(op, key string, err error) error {
	return fmt.Errorf("streamstore: %s %.64q: %w", op, key, err)
}
