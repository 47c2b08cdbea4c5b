package tickets

import "context"

// A Ticket is for one batch of a [Session]. R is what the store says of a stored batch.
type Ticket[R any] struct {
	done   chan struct{}
	result R     // written before done is closed
	err    error // written before done is closed
}

// Done returns a channel that is closed when the batch is acknowledged or has failed.
func (t *Ticket[R]) Done() <-chan struct{} { return t.done }

// Wait returns the result of a stored batch, or why the batch failed. The end of ctx ends the wait and not the batch. Wait may
// be called again.
func (t *Ticket[R]) Wait(ctx context.Context) (R, error) {
	select {
	case <-t.done:
		return t.result, t.err
	case <-ctx.Done():
		var none R
		return none, ctx.Err()
	}
}
