package forward

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A server whose node vanishes, without power or behind a broken network, closes
// nothing: what is sent to it is repeated by the kernel for a quarter of an hour,
// and Kubernetes takes 40 s to notice. So the watch asks the kernel whether what is
// on its way is being acknowledged. A limit of the kernel's own, TCP_USER_TIMEOUT,
// would also end connections to servers that are there and slow to read.
const (
	watchEvery = 500 * time.Millisecond
	// suspectAfter is counted from the first repetition that was found unanswered. It
	// takes another one or two, at 0.6 and 1.4 s. To be suspected costs a server one question.
	suspectAfter = time.Second
	// vanishedAfter is when connections are ended and their requests fail. It lets a
	// virtual machine be moved, which stops it for a second or two.
	vanishedAfter = 5 * time.Second
)

// ErrVanished is why a request failed whose server acknowledges nothing any more.
// It may have been executed.
var ErrVanished = errors.New("the server has vanished: nothing that was sent to it is acknowledged")

// watch follows the connections to servers on other machines.
type watch struct {
	// suspect is told the address of a server that has been silent for a second.
	suspect func(addr string)

	mu    sync.Mutex
	conns map[*watchedConn]struct{}
	// tick is nil while there are no connections.
	tick *time.Timer
}

// watchedConn is a connection that is watched until it is closed.
type watchedConn struct {
	*net.TCPConn
	w        *watch
	addr     string
	raw      syscall.RawConn
	vanished atomic.Bool
	// since is when look first found bytes unanswered that still may be the same; zero
	// while there are none. A connection on which nobody spoke for an hour has been
	// silent for an hour when the next request is a moment late.
	since time.Time
}

// silent is for how long the other side has not answered what was sent to it.
func (c *watchedConn) silent(now time.Time) time.Duration {
	pending, quiet := unanswered(c.raw)
	switch {
	case !pending:
		c.since = time.Time{}
		return 0
	case c.since.IsZero():
		c.since = now
	}
	return min(quiet, now.Sub(c.since))
}

// follow has a connection watched. One of which the kernel cannot be asked is
// returned as it is.
func (w *watch) follow(conn net.Conn, addr string) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &watchedConn{TCPConn: tcp, w: w, addr: addr, raw: raw}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = map[*watchedConn]struct{}{}
	}
	w.conns[c] = struct{}{}
	if w.tick == nil {
		w.tick = time.AfterFunc(watchEvery, w.look)
	}
	return c
}

// look asks for all connections. A thousand cost about a millisecond.
func (w *watch) look() {
	suspects := map[string]bool{}
	w.mu.Lock()
	conns := make([]*watchedConn, 0, len(w.conns))
	for c := range w.conns {
		conns = append(conns, c)
	}
	w.mu.Unlock()
	now := time.Now()
	for _, c := range conns {
		silent := c.silent(now)
		if silent >= suspectAfter {
			suspects[c.addr] = true
		}
		if silent >= vanishedAfter {
			c.vanished.Store(true)
			c.Close()
		}
	}
	for addr := range suspects {
		w.suspect(addr)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) == 0 {
		w.tick = nil
		return
	}
	w.tick.Reset(watchEvery)
}

// Read reads from the server.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if err != nil {
		err = c.explain(err)
	}
	return n, err
}

// Write writes to the server.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	if err != nil {
		err = c.explain(err)
	}
	return n, err
}

// Close closes the connection and ends its being watched.
func (c *watchedConn) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c)
	c.w.mu.Unlock()
	return c.TCPConn.Close() //nolint:wrapcheck // the connection's own
}

// explain says why the connection was closed where it was the watch that closed it.
func (c *watchedConn) explain(err error) error {
	if c.vanished.Load() {
		return fmt.Errorf("%w: %w", ErrVanished, err)
	}
	return err
}
