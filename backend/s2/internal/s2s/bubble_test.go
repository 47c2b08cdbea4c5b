package s2s

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// A client of a test on a fake clock leaves nothing behind that ends the process when another client uses it.
func TestClientsInsideAndOutsideOfABubble(t *testing.T) {
	plain := make([]byte, 100_000)
	frame := append(make([]byte, HeaderSize), plain...)
	use := func(t *testing.T) {
		var coders Coders
		for range 20 {
			c, err := coders.New(Zstd)
			if err != nil {
				t.Fatal(err)
			}
			sealed, compressed, err := c.Seal(bytes.Clone(frame), nil, 0)
			if err != nil || !compressed {
				t.Fatalf("compressed %v, %v", compressed, err)
			}
			if got, err := c.Open(Flags(sealed[3]), sealed[HeaderSize:]); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%d bytes come back, %v", len(got), err)
			}
			c.Close()
		}
	}
	for range 5 {
		synctest.Test(t, use)
		use(t)
	}
}
