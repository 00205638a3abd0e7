package clientconn

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The states of include/net/tcp_states.h in which the peer has closed its side
// or the connection is over.
const (
	tcpTimeWait  = 6
	tcpClose     = 7
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpClosing   = 11
)

// Gone reports whether the kernel knows that the client has hung up. False
// means that it does not know: a client whose last bytes still wait to be read
// may have left behind them. Like Go's own server it takes a half-closed
// connection for a closed one.
func (c *Conn) Gone() bool {
	if c == nil || c.raw == nil {
		return false
	}
	gone := false
	err := c.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		switch info.State {
		case tcpTimeWait, tcpClose, tcpCloseWait, tcpLastAck, tcpClosing:
			gone = true
		}
	})
	// Control fails only on a connection that this side has closed.
	return gone || err != nil
}

func unread(raw syscall.RawConn) bool {
	n := 0
	err := raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err == nil && n > 0
}
