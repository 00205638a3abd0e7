//go:build !linux

package forward

import (
	"net"
	"syscall"
	"time"
)

func aliveCheck(net.Conn) func() bool { return func() bool { return true } }

func unanswered(syscall.RawConn) (bool, time.Duration) { return false, 0 }
