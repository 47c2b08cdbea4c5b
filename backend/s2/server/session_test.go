package server_test

import (
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// position is a StreamPosition as it is encoded: zero fields are left out.
func position(seq, timestamp uint64) pb {
	var b pb
	if seq > 0 {
		b = b.uint(1, seq)
	}
	return b.uint(2, timestamp)
}

func TestSessionsAreExactOnTheWire(t *testing.T) {
	const now = 1_700_000_000_000
	p := start(t, s2test.Clock(func() time.Time { return time.UnixMilli(now) }))
	d := p.appendSession("s")
	d.send(frame(0, input("a", "b")))
	d.send(frame(0, input("c"))) // pipelined
	d.wantFrame(0, pb{}.bytes(1, position(0, now)).bytes(2, position(2, now)).bytes(3, position(2, now)))
	d.wantFrame(0, pb{}.bytes(1, position(2, now)).bytes(2, position(3, now)).bytes(3, position(3, now)))

	r := p.readSession("s", "seq_num=1&count=2")
	record := func(seq uint64, body string) pb {
		return pb{}.uint(1, seq).uint(2, now).bytes(4, []byte(body))
	}
	r.wantFrame(0, pb{}.bytes(1, record(1, "b")).bytes(1, record(2, "c")))
	r.wantEnd()

	d.in.Close() // a half-close ends the session without a terminal frame
	d.wantEnd()
}

func TestTheFirstFailureEndsAnAppendSession(t *testing.T) {
	p := start(t)
	d := p.appendSession("s")
	// We send everything in one write. Behind the failure the server reads nothing more, so another write might fail.
	d.send(slices.Concat(frame(0, input("a")), frame(0, nil), frame(0, input("never stored")))) // nil: no records
	if flags, _, err := d.frame(); flags != 0 || err != nil {
		t.Fatalf("the ack of the first: flags %x, %v", flags, err)
	}
	d.wantTerminal(422, `"invalid"`)
	d.wantEnd()
	p.want(200, `"seq_num":1`, "GET", "/streams/s/records/tail", "")
}

func TestAFrameThatIsNone(t *testing.T) {
	for name, raw := range map[string][]byte{
		"of length 0":       {0, 0, 0},
		"over 2 MiB":        {0x20, 0, 1, 0},
		"of an odd codec":   {0, 0, 2, 0x60, 1},
		"of a broken codec": {0, 0, 3, 0x20, 1, 2},
		"of no input":       {0, 0, 2, 0, 0xff},
		"terminal":          {0, 0, 3, 0x80, 0, 200},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t).appendSession("s")
			d.send(raw)
			d.wantTerminal(400, `"bad_`)
			d.wantEnd()
		})
	}
}
