package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// listeners are the open ports, all served by one http.Server.
type listeners struct {
	server *http.Server
	host   string
	crowd  *crowd
	log    *slog.Logger

	mu     sync.Mutex
	ports  map[int]net.Listener
	ended  bool
	served sync.WaitGroup
}

func (l *listeners) open() map[int]net.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.ports)
}

// listen opens a port and serves it, as many connections at a time as those have room
// for whom join returns. It returns once connections are accepted.
func (l *listeners) listen(port int, join func(addr string) *clientShare) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return errors.New("the activator is shutting down")
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(l.host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("opening the listener: %w", err)
	}
	l.ports[port] = ln
	l.served.Go(func() {
		err := l.server.Serve(l.crowd.listener(ln, join))
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ports[port] == ln {
			delete(l.ports, port)
			if !errors.Is(err, http.ErrServerClosed) {
				l.log.Error("listener has ended", "port", port, "error", err)
			}
		}
	})
	return nil
}

func (l *listeners) close(port int) {
	l.mu.Lock()
	ln := l.ports[port]
	delete(l.ports, port)
	l.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
}

// end lets no more ports be opened. Those that are open are the server's to close.
func (l *listeners) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
}

// wait returns when nothing is served any more.
func (l *listeners) wait() {
	l.served.Wait()
	l.crowd.wait()
}
