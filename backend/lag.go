package backend

import (
	"context"
	"io"
	"time"
)

// A Lag is how far a place is behind the tail of its stream.
type Lag struct {
	// Records and Bytes count from the place to the tail; see [Tail]. -1: unknown.
	Records, Bytes int64

	// Age is the age of the first record from the place on, by the record's time and the clock of this machine. Age is 0 when
	// no record lies behind the place, and where the store gives no times.
	Age time.Duration

	// CaughtUp means that no record lies between the place and the tail.
	CaughtUp bool
}

// LagAt asks src how far the place from is behind the tail. LagAt reads the first record from the place on, for its age.
// Where src is no [Tailer], LagAt finds Age and CaughtUp only, and Records and Bytes are -1 unless CaughtUp is true.
func LagAt(ctx context.Context, src Source, from Offset) (Lag, error) {
	l := Lag{Records: -1, Bytes: -1}
	if t, ok := src.(Tailer); ok {
		tail, err := t.Tail(ctx, from)
		if err != nil {
			return Lag{}, err
		}
		l.Records, l.Bytes = tail.Records, tail.Bytes
	}
	if l.Records != 0 {
		at, found, err := firstTime(ctx, src, from)
		if err != nil {
			return Lag{}, err
		}
		if found {
			l.Age = age(at)
			return l, nil
		}
	}
	return Lag{CaughtUp: true}, nil
}

func age(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(time.Since(at), 0)
}

// firstTime returns the time of the first record from a place on. found is false at the tail.
func firstTime(ctx context.Context, src Source, from Offset) (at time.Time, found bool, err error) {
	r, err := src.OpenReader(ctx, from)
	if err != nil {
		return at, false, err
	}
	defer r.Close()
	for {
		b, err := r.Read(ctx)
		switch {
		case err == io.EOF:
			return at, false, nil
		case err != nil:
			return at, false, err
		case len(b.Records) > 0:
			return b.Records[0].Time, true, nil
		case b.CaughtUp:
			return at, false, nil
		}
	}
}
