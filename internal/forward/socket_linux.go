package forward

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// aliveCheck returns a function that reports whether a connection on which nothing
// is expected is as it should be: neither closed by the other side, nor with bytes
// that nobody has asked for.
func aliveCheck(conn net.Conn) func() bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return func() bool { return true }
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	var one [1]byte
	quiet := false
	// Made once: the check is part of each request.
	peek := func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN || err == unix.EINTR
	}
	return func() bool {
		quiet = false
		return raw.Control(peek) == nil && quiet
	}
}

// unanswered reports whether bytes are on their way to the other side that had to
// be sent again, and since when it has said nothing at all. One that is there
// acknowledges them within milliseconds, also one that has no room for more: it is
// asked for that, and answers.
func unanswered(raw syscall.RawConn) (pending bool, silent time.Duration) {
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		// Backoff counts the repetitions that came to nothing.
		pending = info.Unacked > 0 && info.Backoff > 0
		silent = time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
	})
	return pending, silent
}
