package s2

import (
	"context"
	"errors"

	"github.com/headrace/headrace/backend"
)

// confirmEnd decides about a clean end before Count and Bytes were used up. The server applies the other limits, so the end may be
// the end of the range. But a proxy also ends the response cleanly when the proxy loses its server. Therefore confirmEnd asks for
// the next record of the range, and believes the end if there is no such record. Otherwise confirmEnd returns why, so that the
// session reads on.
//
// Records appended meanwhile could make confirmEnd ask again and again. The tail at the first early end is the goal: with all
// records before the goal, the session ends.
func (r *ReadSession) confirmEnd(ctx context.Context, why error) error {
	from := r.Next()
	next, err := SeqNum(from)
	if err == nil && r.goalKnown && next >= r.goal {
		r.rangeEnded = true
		return nil
	}
	rest := Range{From: from, Clamp: r.want.Clamp && from == r.want.From, Count: 1, Bytes: r.want.Bytes, Until: r.want.Until}
	// The question has no Wait, so the answer comes at once: a record, an empty batch, or the refusal of a start at the tail.
	got, err := r.stream.Read(ctx, rest)
	tail, refused := tailOf(err)
	switch {
	case refused && (from.Relative() || rest.Clamp || sameNumber(tail, from)), // the place is the tail: there is no record yet
		err == nil && len(got.Records) == 0: // no record is before Until
		r.rangeEnded = true
		return nil
	case err != nil: // also a place beyond the tail, which is an error of the caller
		return err
	}
	if !r.goalKnown {
		// The goal is set once. A goal that moved with the tail would let a busy writer keep the session open for ever.
		tail, err := r.stream.CheckTail(ctx)
		if err != nil {
			return err
		}
		r.goalKnown, r.goal = true, tail.SeqNum
	}
	return why
}

// atTail returns nil, and ends the range, when err refuses a start at the tail and an earlier connection has read up to the tail. A
// refusal of the very first start is an error of the caller and stays an error.
func (r *ReadSession) atTail(err error) error {
	if tail, refused := tailOf(err); refused && sameNumber(tail, r.Next()) && (!sameNumber(tail, r.want.From) || !r.quietSince.IsZero()) {
		r.rangeEnded = true
		return nil
	}
	return err
}

// tailOf returns the tail if err is the refusal to start at the tail or behind the tail.
func tailOf(err error) (backend.Offset, bool) {
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != CodeRangeNotSatisfiable {
		return "", false
	}
	return At(refused.Tail.SeqNum), true
}

// sameNumber reports whether two offsets have the same sequence number. Only one of them may name the incarnation of the stream.
func sameNumber(a, b backend.Offset) bool {
	n, errA := SeqNum(a)
	m, errB := SeqNum(b)
	return errA == nil && errB == nil && n == m
}
