// Package client sends the load. It is lean, because it shares the machine with what
// it measures: HTTP/1.1 is written and read by hand, on as many connections as there
// are clients, and each client waits for its answer before it asks again. Every
// answer is checked.
package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/e2e/load"
)

// Options say what is sent, where, and for how long.
type Options struct {
	// Cell is what is sent.
	Cell load.Cell `json:"cell"`
	// Addr is where it is sent, a host with its port.
	Addr string `json:"addr"`
	// Header has further fields that the hop wants, one value each.
	Header map[string]string `json:"header,omitempty"`
	// WarmUp is how long it runs before anything counts, Duration how long what counts.
	WarmUp   time.Duration `json:"warmUpNs"`
	Duration time.Duration `json:"durationNs"`
}

// Result is what came of it.
type Result struct {
	// Requests, Errors and FirstError are as in a load.Sample.
	Requests   int64  `json:"requests"`
	Errors     int64  `json:"errors"`
	FirstError string `json:"firstError,omitempty"`
	// Elapsed is the time from the first request that counts to the end of the last.
	Elapsed time.Duration `json:"elapsedNs"`
	// P50 and P99 are of the requests' times, or of the events' delays.
	P50 time.Duration `json:"p50Ns"`
	P99 time.Duration `json:"p99Ns"`
}

// maxErrors ends a client that meets nothing but errors.
const maxErrors = 100

// host is whom all requests are for.
const host = "model.example.com"

// caller makes one request after the other.
type caller interface {
	// call makes one request and checks its answer.
	call(ctx context.Context) error
	close()
}

// Run warms up, calls warm, and sends what counts. warm may wait.
func Run(ctx context.Context, o Options, warm func()) (Result, error) {
	if o.Cell.Protocol == load.Events {
		return runEvents(ctx, o, warm)
	}
	callers, err := newCallers(o)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		for _, c := range callers {
			c.close()
		}
	}()
	if r := drive(ctx, callers, o.WarmUp); r.Requests == 0 {
		return Result{}, fmt.Errorf("warming up at %s: no request was answered: %s", o.Addr, r.FirstError)
	}
	warm()
	return drive(ctx, callers, o.Duration), nil
}

func newCallers(o Options) ([]caller, error) {
	switch o.Cell.Protocol {
	case load.HTTP1:
		callers := make([]caller, o.Cell.Clients)
		for i := range callers {
			callers[i] = newRaw(o)
		}
		return callers, nil
	case load.GRPC:
		return newGRPC(o)
	}
	return nil, fmt.Errorf("cell.protocol: %q is unknown: use http, grpc or events", o.Cell.Protocol)
}

// drive has all callers call for as long as told, and sums up.
func drive(ctx context.Context, callers []caller, d time.Duration) Result {
	took := make([][]time.Duration, len(callers))
	var wg sync.WaitGroup
	var errs errorCount
	begun := time.Now()
	end := begun.Add(d)
	for i, c := range callers {
		wg.Go(func() {
			all := make([]time.Duration, 0, 4096)
			failed := 0
			// Each calls once at least, however late it gets a processor.
			for at := time.Now(); ctx.Err() == nil && failed < maxErrors; {
				err := c.call(ctx)
				now := time.Now()
				if err != nil {
					failed++
					errs.add(err)
				} else {
					all = append(all, now.Sub(at))
				}
				if at = now; !now.Before(end) {
					break
				}
			}
			took[i] = all
		})
	}
	wg.Wait()
	r := summarize(slices.Concat(took...))
	r.Elapsed = time.Since(begun)
	errs.into(&r)
	return r
}

func summarize(all []time.Duration) Result {
	slices.Sort(all)
	return Result{Requests: int64(len(all)), P50: load.Percentile(all, 50), P99: load.Percentile(all, 99)}
}

// errorCount counts errors and keeps the first.
type errorCount struct {
	n     atomic.Int64
	once  sync.Once
	first string
}

func (e *errorCount) add(err error) {
	e.n.Add(1)
	e.once.Do(func() { e.first = err.Error() })
}

// into is called once nobody adds any more.
func (e *errorCount) into(r *Result) {
	r.Errors = e.n.Load()
	r.FirstError = e.first
}
