package durablestreams

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// A reply is what an answer to an append says of the batch.
type reply uint8

const (
	replyFailed reply = iota // there was no answer, or one that says nothing about the batch
	replyStored
	replyDuplicate      // the server had a batch with this id, epoch and sequence before
	replyStoredAhead    // stored, and the server has a later sequence than this appender ever sent
	replyDuplicateAhead // a duplicate, and the server has a later sequence than this appender ever sent
	replyEarly          // a batch before this one is missing, and is still in flight
	replyForgotten      // a batch before this one is missing, and none is in flight
	replyStale          // another producer with this id has begun a later epoch
	replyRefused        // the server will never store these records

	replies
)

func (r reply) String() string {
	names := [replies]string{
		"failed", "stored", "duplicate", "stored ahead", "duplicate ahead", "early", "forgotten", "stale", "refused",
	}
	if r < replies {
		return names[r]
	}
	return fmt.Sprintf("reply %d", uint8(r))
}

// classify says which reply an answer is. first means that no batch before this one was in flight when it was sent, and
// highest is the highest sequence that this appender has sent in the epoch.
func classify(ans answer, err error, first bool, highest int64) reply {
	var status *Error
	switch {
	case err == nil && ans.duplicate && ans.highest > highest:
		return replyDuplicateAhead
	case err == nil && ans.highest > highest:
		return replyStoredAhead
	case err == nil && ans.duplicate:
		return replyDuplicate
	case err == nil:
		return replyStored
	case !errors.As(err, &status):
		return replyFailed
	case status.Epoch >= 0:
		return replyStale
	case status.Expected >= 0 && first:
		return replyForgotten
	case status.Expected >= 0:
		return replyEarly
	case errors.Is(err, backend.ErrRejected), errors.Is(err, backend.ErrTooLarge):
		return replyRefused
	}
	return replyFailed
}

// An action is what deliver does with a batch after a reply.
type action uint8

const (
	fail            action = iota // the session ends with the error of the reply
	acknowledge                   // the batch is stored
	claimNext                     // the epoch is another producer's: take the next one and send the batch again
	sendInTurn                    // wait for the batch before, then send again
	failOvertaken                 // another producer writes in this epoch: the session ends with ErrFenced
	failMayBeStored               // as fail, and an earlier request may have stored the batch
	failForgotten                 // the session ends with ErrIndeterminate, and the next one begins an epoch
	failNewEpoch                  // as fail, and the next session begins an epoch
)

// actions is the whole decision. A line has one entry for each standing, in this order: epoch ours, epoch unconfirmed, epoch
// contested, may be stored.
//
// Duplicates: a proxy may send a request twice, so in an epoch that is ours a duplicate is our own batch. In an epoch that
// nobody has confirmed, the batch that the server has is another producer's and ours is not stored. After a refusal, for
// example, we start epoch+1; if another process has claimed that epoch in the meantime, its batch 0 is there already, and
// ours is answered as a duplicate.
//
// Ahead: another process writes with the same id and epoch. While the epoch is contested, a duplicate ahead is harmless,
// because nothing of ours is stored.
//
// Forgotten: the server has lost what it knew of this producer, so it cannot tell a resend from a new batch any more.
//
// Refused: other batches take the place of the refused one. The next session begins an epoch, so that requests of this
// session that arrive late are stale and not taken for the new batches.
//
// Early happens in a contested or unconfirmed epoch on no server, as one batch is in flight there.
var actions = [replies][standings]action{
	replyFailed:         {fail, fail, fail, fail},
	replyStored:         {acknowledge, acknowledge, acknowledge, acknowledge},
	replyDuplicate:      {acknowledge, failOvertaken, claimNext, acknowledge},
	replyStoredAhead:    {failOvertaken, failOvertaken, failOvertaken, failOvertaken},
	replyDuplicateAhead: {failOvertaken, failOvertaken, claimNext, failOvertaken},
	replyEarly:          {sendInTurn, sendInTurn, sendInTurn, sendInTurn},
	replyForgotten:      {failForgotten, failForgotten, failForgotten, failForgotten},
	replyStale:          {fail, fail, claimNext, failMayBeStored},
	replyRefused:        {failNewEpoch, failNewEpoch, failNewEpoch, failNewEpoch},
}
