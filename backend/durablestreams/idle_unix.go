//go:build unix

package durablestreams

import (
	"net"
	"syscall"
)

// canTellIdle says that stillIdle works on this system.
const canTellIdle = true

// stillIdle reports whether nothing has come on a connection since it was read last: no byte, no end and no error. stillIdle does
// not wait, because Go's sockets do not block. A byte that has come is lost, and the connection is useless then.
func stillIdle(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var state error
	var one [1]byte
	// Control and not Read: Read fails where the deadline of an earlier answer has passed.
	err = raw.Control(func(fd uintptr) { _, state = syscall.Read(int(fd), one[:]) })
	return err == nil && (state == syscall.EAGAIN || state == syscall.EWOULDBLOCK)
}
