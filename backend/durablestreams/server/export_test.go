package server

import "errors"

// What the tests of this package look at from outside.
var (
	SplitJSON = splitJSON
	Messages  = messages
	Cursor    = cursor
	ParseRow  = parseRow
)

// Waiting is how many live readers wait.
func Waiting(h *Handler) int {
	h.live.Lock()
	defer h.live.Unlock()
	return len(h.live.ends)
}

// Hold keeps changes waiting until release is called, which makes them in one commit.
func Hold(m *Memory) (release func()) {
	m.turn <- struct{}{}
	return func() { <-m.turn }
}

// FailCommits lets the next n commits fail.
func FailCommits(m *Memory, n int) { m.vault = &failing{m.vault, n} }

type failing struct {
	vault
	left int
}

func (v *failing) begin() (ledger, error) {
	l, err := v.vault.begin()
	return &failingLedger{l, v}, err
}

type failingLedger struct {
	ledger
	vault *failing
}

func (l *failingLedger) commit(drafts []*draft) error {
	if l.vault.left > 0 {
		l.vault.left--
		l.rollback()
		return errors.New("server: no space left")
	}
	return l.ledger.commit(drafts)
}
