package s2

import (
	"testing"
	"testing/synctest"
	"time"
)

// All readers of a connection follow the advice at once. Advice on the next connection waits for the end of a pause.
func TestAdviceIsFollowedOnceAPause(t *testing.T) {
	c, err := New(Config{Token: "any-token"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	synctest.Test(t, func(t *testing.T) {
		first := c.reading()
		for range 2 {
			if !c.followAdvice(first) {
				t.Error("a reader stays on the connection that its server is about to close")
			}
		}
		second := c.reading()
		if first == second || c.followAdvice(second) {
			t.Error("advice is followed again at once")
		}
		time.Sleep(advicePause)
		if !c.followAdvice(second) || c.reading() == second {
			t.Error("advice is not followed when the pause is over")
		}
	})
}
