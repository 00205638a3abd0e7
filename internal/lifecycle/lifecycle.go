// Package lifecycle starts the parts of a process together and stops them in
// order: what was started last stops first, and each has ended before the next
// is told to. What a part does, and how it drains, is its own affair.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Unit is one part of a process.
type Unit struct {
	// Name is for logs and errors.
	Name string
	// Run works until ctx is done and everything it started has ended. Returning
	// earlier, with an error or without, stops the whole process.
	Run func(ctx context.Context) error
}

// Run runs units until ctx is done or one of them returns, then stops them from
// the last to the first. Put what others need first: a server for health checks
// that must answer to the end comes before the server for requests. The result
// joins what went wrong.
func Run(ctx context.Context, log *slog.Logger, units ...Unit) error {
	type ended struct {
		unit int
		err  error
	}
	// Units get contexts of their own, because a shared one would stop all at once.
	base := context.WithoutCancel(ctx)
	done := make(chan ended, len(units))
	cancels := make([]context.CancelFunc, len(units))
	running := make([]bool, len(units))
	for i, u := range units {
		unitCtx, cancel := context.WithCancel(base)
		cancels[i], running[i] = cancel, true
		go func() { done <- ended{i, u.Run(unitCtx)} }()
	}

	var errs []error
	collect := func(e ended) {
		running[e.unit] = false
		if e.err != nil && !errors.Is(e.err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", units[e.unit].Name, e.err))
		}
	}
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case e := <-done:
		collect(e)
		if e.err == nil {
			errs = append(errs, fmt.Errorf("%s: ended before it was told to", units[e.unit].Name))
		}
		log.Error("stopping because a part has ended", "part", units[e.unit].Name, "error", e.err)
	}
	for i := len(units) - 1; i >= 0; i-- {
		cancels[i]()
		for running[i] {
			collect(<-done)
		}
	}
	return errors.Join(errs...)
}
