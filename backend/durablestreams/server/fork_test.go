package server_test

import (
	"fmt"
	"testing"
)

// What is wrong with a fork is said in the same way whether or not it has a sub-offset.
func TestForkRefusals(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", `[10,[2],3]`)
		_, h := get(t, url+"/s", 200)
		tail := h.Get("Stream-Next-Offset")
		fork := func(name string, want int, header ...string) {
			t.Helper()
			drain(t, request(t, "PUT", url+name, nil, append(header, "Stream-Forked-From", "/s")...), want)
		}
		const start, beyond = "0000000000000000_0000000000000000", "0000000000000000_0000000000000999"
		// No append begins there: it is within one, and even within a message.
		within := fmt.Sprintf("%016d_%016d", 0, 1)
		for _, sub := range []string{"0", "1"} {
			fork("/f"+sub, 400, "Stream-Fork-Offset", beyond, "Stream-Fork-Sub-Offset", sub)
			fork("/f"+sub, 400, "Stream-Fork-Offset", within, "Stream-Fork-Sub-Offset", sub)
			fork("/f"+sub, 201, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", sub)
		}
		fork("/f1", 400, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", "01")
		fork("/tail", 201, "Stream-Fork-Offset", tail)
		fork("/tail", 200)

		// The source is hidden: what was made of it is still the same, and nothing more is.
		drain(t, request(t, "DELETE", url+"/s", nil), 204)
		for _, sub := range []string{"0", "1"} {
			fork("/f"+sub, 200, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", sub)
			fork("/new", 409, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", sub)
		}
		if got, _ := get(t, url+"/f1", 200); got != "[10]" {
			t.Errorf("the fork is %s", got)
		}
	})
}
