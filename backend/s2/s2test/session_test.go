package s2test_test

import "testing"

func TestAppendSessionAcksEachInputInOrder(t *testing.T) {
	p := start(t)
	d := p.appendSession("s")
	d.send(frame(0, input("a", "b")))
	f, b, err := d.frame()
	if err != nil || f != 0 {
		t.Fatal(f, b, err)
	}
	t.Logf("%x", b)
	r := p.readSession("s", "seq_num=0&count=2")
	f, b, err = r.frame()
	t.Logf("%x %x %v", f, b, err)
	r.wantEnd()
	d.in.Close()
	d.wantEnd()
}
