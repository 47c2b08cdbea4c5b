package server_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

func (p *peer) wantTail(stream string, n int) {
	p.t.Helper()
	p.want(200, fmt.Sprintf(`"seq_num":%d,`, n), "GET", "/streams/"+stream+"/records/tail", "")
}

// Each fault strikes the second of two pipelined batches: what the client sees, and what is stored.
func TestFaultsOfAnAppendSession(t *testing.T) {
	for name, c := range map[string]struct {
		stage  s2test.Stage
		do     s2test.Effect
		stored int
		sees   func(d *duplex)
	}{
		"connection lost before it is stored": {s2test.Received, s2test.Drop(), 1, (*duplex).wantBroken},
		"connection lost before the ack":      {s2test.Replying, s2test.Drop(), 2, (*duplex).wantBroken},
		"stream reset before the ack":         {s2test.Replying, s2test.Reset(), 2, (*duplex).wantBroken},
		"clean end before the ack":            {s2test.Replying, s2test.End(), 2, (*duplex).wantEnd},
		"refused":                             {s2test.Received, s2test.Status(500, "storage"), 1, func(d *duplex) { d.wantTerminal(500, `"storage"`) }},
		"stored and refused":                  {s2test.Replying, s2test.Status(503, "unavailable"), 2, func(d *duplex) { d.wantTerminal(503, `"unavailable"`) }},
		"damaged ack":                         {s2test.Replying, s2test.Frame([]byte{0, 0, 0}), 2, (*duplex).wantGarbage},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			f := p.srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: c.stage, Skip: 1, Do: c.do})
			d := p.appendSession("s")
			d.send(frame(0, input("a")))
			if flags, _, err := d.frame(); flags != 0 || err != nil {
				t.Fatalf("the first ack: flags %x, %v", flags, err)
			}
			d.send(frame(0, input("b")))
			c.sees(d)
			p.wantTail("s", c.stored)
			if f.Hits() != 1 {
				t.Errorf("it struck %d times", f.Hits())
			}
		})
	}
}

func (d *duplex) wantBroken() {
	d.t.Helper()
	if _, b, err := d.frame(); err == nil || err == io.EOF {
		d.t.Fatalf("frame %x, %v; want a broken connection", b, err)
	}
}

// wantGarbage wants the three bytes of a frame of length 0.
func (d *duplex) wantGarbage() {
	d.t.Helper()
	var b [3]byte
	if _, err := io.ReadFull(d.r, b[:]); err != nil || b != [3]byte{} {
		d.t.Fatalf("%x, %v", b, err)
	}
}

func TestReconnectAdviceIsAFlagAndHarmsNothing(t *testing.T) {
	p := start(t)
	p.srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.AdviseReconnect()})
	d := p.appendSession("s")
	for _, want := range []byte{0x10, 0} {
		d.send(frame(0, input("a")))
		if flags, _, err := d.frame(); flags != want || err != nil {
			t.Fatalf("flags %02x, %v; want %02x", flags, err, want)
		}
	}
}

// After a GOAWAY the session goes on, and the next request comes on a new connection.
func TestGoAwayLetsTheSessionGoOn(t *testing.T) {
	p := start(t)
	p.srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.GoAway()})
	d := p.appendSession("s")
	for range 20 {
		d.send(frame(0, input("a")))
		if _, _, err := d.frame(); err != nil {
			t.Fatal(err)
		}
	}
	e := p.appendSession("s")
	e.send(frame(0, input("b")))
	if _, _, err := e.frame(); err != nil {
		t.Fatal(err)
	}
	p.wantTail("s", 21)
}

func TestABrokenReadEndsInTheMiddleOfAFrame(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"`+strings.Repeat("x", 10_000)+`"}`)
	p.srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.CutAfter(5_000)})
	p.readSession("s", "seq_num=0").wantBroken()
	p.readSession("s", "seq_num=0&count=1").frame()
}

func TestStatusesStrikeAsOftenAsToldWhereTold(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"}`)
	f := p.srv.Inject(s2test.Fault{Op: s2test.CheckTail, On: "s", Times: 2, Do: s2test.Status(429, "rate_limited")})
	p.want(200, "", "GET", "/streams/other/records/tail", "")
	p.want(429, `"rate_limited"`, "GET", "/streams/s/records/tail", "")
	p.want(429, `"rate_limited"`, "GET", "/streams/s/records/tail", "")
	p.wantTail("s", 1)
	p.srv.Inject(s2test.Fault{Op: s2test.CheckTail, Times: s2test.Always, Do: s2test.Status(500, "storage")}).Remove()
	p.wantTail("s", 1)
	if f.Hits() != 2 || p.srv.Stats().Faults != 2 {
		t.Errorf("%d hits, %d faults", f.Hits(), p.srv.Stats().Faults)
	}
}

// A batch from a dropped connection is stored before DropConnections returns, or never.
func TestDroppedConnectionsStoreNothingAfterwards(t *testing.T) {
	p := start(t)
	for range 20 {
		d := p.appendSession("s")
		var sending sync.WaitGroup
		sending.Go(func() {
			f := frame(0, input("a", "b", "c"))
			for {
				if _, err := d.in.Write(f); err != nil {
					return
				}
			}
		})
		if _, _, err := d.frame(); err != nil {
			t.Fatal(err)
		}
		p.srv.DropConnections()
		stored := p.srv.Stats().Batches
		d.resp.Body.Close()
		d.in.Close()
		sending.Wait()
		p.wantTail("s", int(3*stored))
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	p := start(t, s2test.Duplicates())
	for _, body := range []string{"a", "b", "a"} {
		p.append("s", `{"body":"`+body+`"}`)
	}
	p.append("t", `{"body":"a"}`) // another stream
	if n := p.srv.Stats().Duplicates; n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
}

// A following reader is told that it has reached the tail, then receives heartbeats, and also the records that a trim
// removes behind its back.
func TestAFollower(t *testing.T) {
	p := start(t, s2test.TrimDelay(0), s2test.Heartbeat(5*time.Millisecond, 10*time.Millisecond), s2test.Clock(func() time.Time { return time.UnixMilli(300) }))
	r := p.readSession("s", "")
	empty := pb{}.bytes(2, nil) // the tail {0,0}
	for range 3 {
		r.wantFrame(0, empty)
	}
	d := p.appendSession("s")
	trim := pb{}.bytes(2, pb{}.bytes(1, nil).bytes(2, []byte("trim"))).bytes(3, []byte{0, 0, 0, 0, 0, 0, 0, 9})
	d.send(append(frame(0, input("a")), frame(0, pb{}.bytes(1, trim))...))
	var got []byte
	for len(got) == 0 || got[len(got)-1] != 1 {
		_, b, err := r.frame()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 && b[0] == 0x0a { // records, not a heartbeat
			got = append(got, b...)
			if strings.Contains(string(b), "trim") {
				break
			}
		}
	}
	if !strings.Contains(string(got), "\x22\x01a") {
		t.Errorf("the record that the trim removed is missing: %x", got)
	}
	p.want(202, "", "DELETE", "/streams/s", "")
	for {
		flags, b, err := r.frame()
		if err != nil {
			t.Fatal(err)
		}
		if flags == 0x80 {
			if !strings.Contains(string(b), "stream_deletion_pending") {
				t.Errorf("terminal frame %q", b)
			}
			return
		}
	}
}
