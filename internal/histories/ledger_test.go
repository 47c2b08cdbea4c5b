package histories

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// An outcome is what a sender was told about a record.
type outcome int

const (
	absent  outcome = iota // it was not accepted, or no session took it
	refused                // by the sink
	unsure                 // it may be stored
	acked
)

// outcomeOf reads the error of a Send or of a receipt.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return acked
	case errors.Is(err, backend.ErrIndeterminate):
		return unsure
	case errors.Is(err, backend.ErrRejected), errors.Is(err, backend.ErrTooLarge):
		return refused
	}
	return absent
}

// A promise is a receipt and who gave it.
type promise struct {
	receipt producer.Receipt
	by      *producer.Producer[value]
}

// An entry is what is known about one value.
type entry struct {
	value    value
	headers  backend.Headers
	told     []outcome // by Send
	promises []promise
}

// A ledger holds what senders were told.
type ledger struct {
	h       *history
	mu      sync.Mutex
	entries map[string]*entry
}

func newLedger(h *history) *ledger { return &ledger{h: h, entries: make(map[string]*entry)} }

// begin notes a value before it is offered.
func (l *ledger) begin(v value, hs backend.Headers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[v.id()] = &entry{value: v, headers: hs}
}

func (l *ledger) tell(id string, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[id].told = append(l.entries[id].told, o)
}

func (l *ledger) promise(id string, r producer.Receipt, by *producer.Producer[value]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[id].promises = append(l.entries[id].promises, promise{r, by})
}

// compare checks what a producer left against its receipts. It is over, so all of them are decided.
func (l *ledger) compare(by *producer.Producer[value], left map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.entries {
		for _, p := range e.promises {
			if p.by != by {
				continue
			}
			select {
			case <-p.receipt.Done():
			default:
				l.h.errorf("the producer is over and the receipt of record %s is open", id)
				continue
			}
			_, err := p.receipt.Wait(context.Background())
			may, isLeft := left[id]
			switch pending := errors.Is(err, backend.ErrClosed); {
			case pending != isLeft:
				l.h.errorf("Unacked yields record %s: %v, and its receipt says %v", id, isLeft, err)
			case pending && may != errors.Is(err, backend.ErrIndeterminate):
				l.h.errorf("Unacked says of record %s that it may be stored: %v, and its receipt says %v", id, may, err)
			}
		}
	}
}

// audit compares the ledger with what is stored.
func (l *ledger) audit(recs []backend.Record, most map[string]int) {
	copies := make(map[string]int)
	last := make(map[int]int) // by sender, the last first copy
	for i := range recs {
		v := mustParse(&recs[i])
		id := v.id()
		if copies[id]++; copies[id] == 1 {
			if v.n <= last[v.sender] {
				l.h.errorf("record %s is stored behind %d of its sender", id, last[v.sender])
			}
			last[v.sender] = v.n
		}
		e, ok := l.entries[id]
		if !ok || !bytes.Equal(v.fill, e.value.fill) || v.kind != e.value.kind || !sameHeaders(recs[i].Headers, e.headers) {
			l.h.errorf("record %s at %q is not what was sent", id, recs[i].Offset)
		}
		if place(recs[i].Offset) != i {
			l.h.errorf("record %d is at %q", i, recs[i].Offset)
		}
	}
	for id, e := range l.entries {
		l.auditOne(id, e, recs, copies[id], most[id])
	}
	l.h.counts.records.Add(int64(len(recs)))
	l.h.counts.duplicates.Add(int64(len(recs) - len(copies)))
}

func (l *ledger) auditOne(id string, e *entry, recs []backend.Record, copies, most int) {
	best := absent
	told := e.told
	for _, p := range e.promises {
		off, err := p.receipt.Wait(context.Background())
		told = append(told, outcomeOf(err))
		switch {
		case err != nil:
		case off == "" && !l.h.losesAcks:
			l.h.errorf("the receipt of record %s tells no offset", id)
		case off != "" && (place(off) >= len(recs) || idOf(&recs[place(off)]) != id):
			l.h.errorf("the receipt of record %s says %q, where another one is", id, off)
		}
	}
	for _, o := range told {
		best = max(best, o)
		if o == refused && e.value.kind != unwanted {
			l.h.errorf("record %s of kind %c was refused", id, e.value.kind)
		}
	}
	switch {
	case best == acked && copies == 0:
		l.h.errorf("record %s was acknowledged and is not stored", id)
	case best <= refused && copies > 0:
		l.h.errorf("record %s was not accepted or refused, and is stored %d times", id, copies)
	case copies > most:
		l.h.errorf("record %s is stored %d times, and sessions may have stored it %d times", id, copies, most)
	case e.value.kind == unwanted && (best == acked || copies > 0):
		l.h.errorf("record %s is stored although the sink refuses it", id)
	}
	switch best {
	case acked:
		l.h.counts.acked.Add(1)
	case refused:
		l.h.counts.refused.Add(1)
	}
}

func sameHeaders(a, b backend.Headers) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}
