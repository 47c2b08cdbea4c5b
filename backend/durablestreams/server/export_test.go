package server

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/committer"
)

// The external tests of this package use these functions.
var (
	SplitJSON = splitJSON
	Messages  = messages
	Cursor    = cursor
	ParseRow  = parseRow
)

// Waiting returns the number of waiting live readers.
func Waiting(s *Server) int {
	h := s.handler
	h.live.Lock()
	defer h.live.Unlock()
	return len(h.live.ends)
}

// Hold keeps changes waiting until release is called, which lets them share one commit.
func Hold(b *Bolt) (release func()) {
	h := hold{make(chan struct{}), make(chan struct{})}
	b.committer.Do(h)
	<-h.held
	return func() { close(h.release) }
}

// hold is a step that lasts until release is closed, and changes nothing. Changes that are queued meanwhile share the next
// round.
type hold struct{ held, release chan struct{} }

func (hold) Size() int  { return 0 }
func (hold) Done(error) {}
func (h hold) Apply(*bbolt.Tx) error {
	close(h.held)
	<-h.release
	return committer.ErrUnchanged
}

// FailCommits lets the next n commits of b fail. With landed they fail after the file was changed.
func FailCommits(b *Bolt, n int, landed bool) {
	b.committer.CommitTx = func(tx *bbolt.Tx) error {
		if n--; n < 0 {
			return tx.Commit()
		}
		err := errors.New("no space left")
		if landed {
			return errors.Join(err, tx.Commit())
		}
		return errors.Join(err, tx.Rollback())
	}
}
