//go:build !unix

package durablestreams

import "net"

// canTellIdle says that on this system nobody can look at a connection without waiting. Appends go through net/http here.
const canTellIdle = false

func stillIdle(net.Conn) bool { return false }
