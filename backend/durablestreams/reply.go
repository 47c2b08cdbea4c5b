package durablestreams

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// A reply is the meaning of an answer for the batch. The protocol has the same status for several replies, and the meaning also
// depends on the batches in flight; classify knows both.
type reply uint8

const (
	replyFailed reply = iota // no answer, or an answer without news about the batch
	replyStored
	replyDuplicate      // the server had a batch with this id, epoch and sequence before
	replyStoredAhead    // stored, and the server has a later sequence than this appender ever sent
	replyDuplicateAhead // a duplicate, and the server has a later sequence than this appender ever sent
	replyEarly          // an earlier batch is missing, and is still in flight
	replyForgotten      // an earlier batch is missing, and no batch is in flight
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

// classify returns the reply in an answer. first means: no earlier batch was in flight at the sending. highest is the highest
// sequence sent by this appender in the epoch. Batches behind may have been sent since, and the server may have them already;
// therefore highest is read after the answer.
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

// An action is the next step of deliver after a reply.
type action uint8

const (
	actFail            action = iota // the session ends with the error of the answer
	actAcknowledge                   // the batch is stored
	actClaimNext                     // another producer has the epoch: take the next epoch and send the batch again
	actSendInTurn                    // wait for the batch before, then send again
	actFailOvertaken                 // another producer writes in this epoch: the session ends with ErrFenced
	actFailMayBeStored               // as actFail, and an earlier request may have stored the batch
	actFailForgotten                 // the session ends with ErrIndeterminate, and the next session begins an epoch
	actFailNewEpoch                  // as actFail, and the next session begins an epoch
)

// actions is the whole decision. A line has an entry for each standing, in this order: epoch ours, epoch unconfirmed, epoch
// contested, may be stored.
//
// Duplicate: a proxy may send a request twice. In an epoch of ours, a duplicate is therefore our own batch. In an unconfirmed
// or contested epoch the server has a batch of another producer, and ours is not stored. For example, after a refusal we start
// epoch+1. If another process has claimed epoch+1 in the meantime, its batch 0 is there already, and the server answers our
// batch 0 as a duplicate.
//
// Ahead: another process writes with the same id and epoch. In a contested epoch a duplicate ahead is harmless, because nothing
// of ours is stored, and the producer takes a later epoch.
//
// Forgotten: the server has lost its knowledge of this producer, for example in a restart. It cannot tell a resend from a new
// batch any more, and stores a batch twice whose answer was lost.
//
// Refused: other batches take the place of the refused batch. The next session begins an epoch. Otherwise the server could take
// a late request of this session for a new batch.
//
// Early: in a contested or unconfirmed epoch a single batch is in flight, and no server answers early there.
var actions = [replies][standings]action{
	replyFailed:         {actFail, actFail, actFail, actFail},
	replyStored:         {actAcknowledge, actAcknowledge, actAcknowledge, actAcknowledge},
	replyDuplicate:      {actAcknowledge, actFailOvertaken, actClaimNext, actAcknowledge},
	replyStoredAhead:    {actFailOvertaken, actFailOvertaken, actFailOvertaken, actFailOvertaken},
	replyDuplicateAhead: {actFailOvertaken, actFailOvertaken, actClaimNext, actFailOvertaken},
	replyEarly:          {actSendInTurn, actSendInTurn, actSendInTurn, actSendInTurn},
	replyForgotten:      {actFailForgotten, actFailForgotten, actFailForgotten, actFailForgotten},
	replyStale:          {actFail, actFail, actClaimNext, actFailMayBeStored},
	replyRefused:        {actFailNewEpoch, actFailNewEpoch, actFailNewEpoch, actFailNewEpoch},
}
