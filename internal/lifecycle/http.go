package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// HTTP serves one http.Server on one listener.
type HTTP struct {
	// Name is for logs and errors.
	Name string
	// Server is the server; its handler and limits are set by the caller.
	Server *http.Server
	// Addr is where to listen, for example ":8081". Unused where Listener is set.
	Addr string
	// Listener is a listener opened before. It is closed at the end.
	Listener net.Listener
	// Grace is how long open requests may take after the stop before their
	// connections are cut. 0 means 5 s.
	Grace time.Duration
}

// Unit makes a Unit of it. The listener is opened when the unit runs.
func (h HTTP) Unit() Unit { return Unit{Name: h.Name, Run: h.Run} }

// Run serves until ctx is done, then lets open requests finish within Grace.
func (h HTTP) Run(ctx context.Context) error {
	ln := h.Listener
	if ln == nil {
		var err error
		if ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", h.Addr); err != nil {
			return fmt.Errorf("listening on %s: %w", h.Addr, err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- h.Server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	err := Shutdown(h.Server, h.Grace)
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// Shutdown closes the server's listeners, lets open requests finish within
// grace (0 means 5 s), and cuts what is left.
func Shutdown(s *http.Server, grace time.Duration) error {
	if grace <= 0 {
		grace = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := s.Shutdown(ctx)
	if err == nil {
		return nil
	}
	_ = s.Close()
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("requests were still open %s after the stop and have been cut", grace)
	}
	return fmt.Errorf("shutting down: %w", err)
}
