// Package waiting is for packages whose parallel tests wait most of the time: for a timeout, or for a server that breaks.
package waiting

import (
	"flag"
	"runtime"
	"strconv"
)

// AtOnce lets n parallel tests run at the same time, instead of one for each processor. The flag -parallel overrides n. Call
// AtOnce in TestMain.
func AtOnce(n int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set(strconv.Itoa(n))
	}
}
