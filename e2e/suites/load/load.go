// Package load sends bounded streams of requests and reports every failure with
// its time and cause. It knows nothing of clusters: the caller hands it a client
// and a function that makes each HTTP request, or a function that does the whole.
package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what is sent, and for how long.
type Options struct {
	// Client sends the requests.
	Client *http.Client
	// Request makes the n-th request, counted from 0.
	Request func(ctx context.Context, n int64) (*http.Request, error)
	// Call makes the n-th request and judges its answer, instead of Client, Request
	// and Success: for what is not plain HTTP.
	Call func(ctx context.Context, n int64) error
	// Clients is the number of requests in flight at most. Default 1.
	Clients int
	// Interval is the pause of each client between two requests. Default none.
	Interval time.Duration
	// Duration ends the load. Requests in flight are finished. Required, but with
	// Done, where the default is a day.
	Duration time.Duration
	// Done ends the load in the same way when it is closed.
	Done <-chan struct{}
	// MaxRequests ends the load early. Default 10 million.
	MaxRequests int64
	// Timeout bounds one request. Default 2 minutes.
	Timeout time.Duration
	// Success says whether a response is what was asked for. Default: status 200.
	Success func(status int, body []byte) error
}

// Failure is one request that was not answered as asked.
type Failure struct {
	// N is the number of the request.
	N int64
	// At is when it failed, counted from the start of the load.
	At time.Duration
	// After is how long the request had taken by then.
	After time.Duration
	// Err is the cause.
	Err error
}

// Result is what came of a load.
type Result struct {
	// Sent and Succeeded count requests.
	Sent, Succeeded int64
	// Failures has every request that failed, in order of time.
	Failures []Failure
	// Latencies has the time of every success, sorted.
	Latencies []time.Duration
	// Took is the whole time.
	Took time.Duration
}

// Run sends requests until the duration is over and waits for the last answer.
func Run(ctx context.Context, o Options) Result {
	if o.Clients <= 0 {
		o.Clients = 1
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = 10_000_000
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Success == nil {
		o.Success = status200
	}
	if o.Duration <= 0 && o.Done != nil {
		o.Duration = 24 * time.Hour
	}
	start := time.Now()
	until, stop := context.WithTimeout(ctx, o.Duration)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-o.Done:
			stop()
		case <-until.Done():
		}
	}()
	defer func() {
		stop()
		<-watched
	}()

	var next atomic.Int64
	results := make([]Result, o.Clients)
	var wg sync.WaitGroup
	for c := range o.Clients {
		wg.Go(func() { results[c] = client(ctx, until, o, start, &next) })
	}
	wg.Wait()

	var all Result
	for _, r := range results {
		all.Sent += r.Sent
		all.Succeeded += r.Succeeded
		all.Failures = append(all.Failures, r.Failures...)
		all.Latencies = append(all.Latencies, r.Latencies...)
	}
	slices.SortFunc(all.Failures, func(a, b Failure) int { return int(a.At - b.At) })
	slices.Sort(all.Latencies)
	all.Took = time.Since(start)
	return all
}

// client sends one request after another. A request that was begun is finished
// under ctx, so that the end of the load never looks like a failure.
func client(ctx, until context.Context, o Options, start time.Time, next *atomic.Int64) Result {
	var r Result
	for until.Err() == nil {
		n := next.Add(1) - 1
		if n >= o.MaxRequests {
			return r
		}
		began := time.Now()
		err := once(ctx, o, n)
		r.Sent++
		if err != nil {
			r.Failures = append(r.Failures, Failure{N: n, At: time.Since(start), After: time.Since(began), Err: err})
		} else {
			r.Succeeded++
			r.Latencies = append(r.Latencies, time.Since(began))
		}
		if o.Interval > 0 {
			select {
			case <-until.Done():
			case <-time.After(o.Interval):
			}
		}
	}
	return r
}

func once(ctx context.Context, o Options, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if o.Call != nil {
		return o.Call(ctx, n)
	}
	req, err := o.Request(ctx, n)
	if err != nil {
		return fmt.Errorf("making request %d: %w", n, err)
	}
	resp, err := o.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	return o.Success(resp.StatusCode, body)
}

func status200(status int, body []byte) error {
	if status == http.StatusOK {
		return nil
	}
	return fmt.Errorf("status %d: %s", status, strings.TrimSpace(string(body[:min(len(body), 300)])))
}

// Quantile returns the q-th quantile of the latencies of successes, 0 without any.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(int(q*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

// String sums the result up in a line, with the first failures below it.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sent, %d succeeded, %d failed in %s (%.0f/s); p50 %s, p99 %s, max %s",
		r.Sent, r.Succeeded, len(r.Failures), r.Took.Round(time.Millisecond), float64(r.Sent)/r.Took.Seconds(),
		r.Quantile(0.5).Round(10*time.Microsecond), r.Quantile(0.99).Round(10*time.Microsecond), r.Quantile(1).Round(10*time.Microsecond))
	for i, f := range r.Failures {
		if i == 5 {
			fmt.Fprintf(&b, "\n  and %d more", len(r.Failures)-5)
			break
		}
		fmt.Fprintf(&b, "\n  request %d failed at %s after %s: %v", f.N, f.At.Round(time.Millisecond), f.After.Round(time.Millisecond), f.Err)
	}
	return b.String()
}
