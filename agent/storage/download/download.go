// Package download fetches one file over HTTP to disk, as often and as carefully as
// it takes: it resumes after a break where the server can prove that the file is
// still the same, checks the size, bounds every wait, and never sends credentials to
// another server than the one they were given for. Errors and logs carry no query
// string and no user information of a URL, for both hold secrets.
//
// Callers say where the partial file may live, and move it to its place.
package download

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// Clock is the time as the downloader sees it.
type Clock interface {
	Now() time.Time
	// Sleep waits for d or until ctx is done, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Options are what a Downloader needs.
type Options struct {
	// Transport makes the requests; see NewTransport.
	Transport http.RoundTripper
	Log       *slog.Logger
	Clock     Clock
	// Attempts is how many attempts in a row may end without at least MinProgress
	// new bytes before the download is given up.
	Attempts int
	// Backoff is the longest wait after the first failure; it doubles up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Idle bounds the wait for the next byte of a body.
	Idle time.Duration
	// MaxBytes bounds the file; 0 is no bound.
	MaxBytes int64
	// ProgressEvery is the time between two lines of progress in the log.
	ProgressEvery time.Duration
}

// MinProgress is how many new bytes clear the count of failures. A server that breaks
// each connection after a few bytes is given up, one that breaks after every gigabyte
// is not.
const MinProgress = 1 << 20

// Request names one file.
type Request struct {
	URL *url.URL
	// Header holds credentials. It is sent to the URL's own origin only.
	Header http.Header
	// Dir is an existing folder for the partial file and what is known about it. A
	// later Fetch of the same URL into the same Dir goes on where this one ended.
	Dir string
}

// Result is a complete file.
type Result struct {
	// Path is the file's place within the request's Dir.
	Path string
	Size int64
	// ContentType and ContentEncoding are the server's headers.
	ContentType, ContentEncoding string
}

// Downloader fetches files.
type Downloader struct{ opts Options }

// New checks the options.
func New(opts Options) (*Downloader, error) {
	switch {
	case opts.Transport == nil || opts.Log == nil || opts.Clock == nil:
		return nil, errors.New("a downloader needs a transport, a log and a clock")
	case opts.Attempts < 1:
		return nil, fmt.Errorf("attempts must be at least 1, not %d", opts.Attempts)
	case opts.Backoff <= 0 || opts.MaxBackoff < opts.Backoff:
		return nil, fmt.Errorf("the backoff must be positive and at most its maximum, not %s and %s", opts.Backoff, opts.MaxBackoff)
	case opts.Idle <= 0 || opts.ProgressEvery <= 0:
		return nil, fmt.Errorf("the idle timeout and the progress interval must be positive, not %s and %s", opts.Idle, opts.ProgressEvery)
	case opts.MaxBytes < 0:
		return nil, fmt.Errorf("the largest size must not be negative, not %d", opts.MaxBytes)
	}
	return &Downloader{opts: opts}, nil
}

// Fetch downloads until the file is complete, the attempts are used up, or the server
// gives an answer that no further attempt can change.
func (d *Downloader) Fetch(ctx context.Context, req Request) (Result, error) {
	part, err := openPartial(req)
	if err != nil {
		return Result{}, fmt.Errorf("preparing the download of %s: %w", Redact(req.URL), err)
	}
	defer part.close()
	log := d.opts.Log.With("url", Redact(req.URL))
	failures, high := 0, part.size
	for {
		err := d.attempt(ctx, req, part, log)
		if err == nil {
			return part.result(), part.finish()
		}
		if ctx.Err() != nil {
			return Result{}, fmt.Errorf("downloading %s: %w", Redact(req.URL), context.Cause(ctx))
		}
		var final finalError
		if errors.As(err, &final) {
			return Result{}, fmt.Errorf("downloading %s: %w", Redact(req.URL), err)
		}
		if part.size >= high+MinProgress {
			failures = 0
		}
		high = max(high, part.size)
		failures++
		if failures >= d.opts.Attempts {
			return Result{}, fmt.Errorf("downloading %s: given up after %d attempts without progress; the last one ended with: %w", Redact(req.URL), failures, err)
		}
		wait := d.wait(failures, err)
		log.Warn("the download broke and is tried again", "reason", err.Error(), "have", part.size, "wait", wait, "attempt", failures+1)
		if err := d.opts.Clock.Sleep(ctx, wait); err != nil {
			return Result{}, fmt.Errorf("downloading %s: %w", Redact(req.URL), err)
		}
	}
}

// maxRetryAfter bounds what a server may ask us to wait: the pod is waiting too.
const maxRetryAfter = time.Minute

// wait is the server's Retry-After where it sent one, else the backoff.
func (d *Downloader) wait(failures int, err error) time.Duration {
	var later retryAfterError
	if errors.As(err, &later) && later.after > 0 {
		return min(later.after, maxRetryAfter)
	}
	return backoff(failures, d.opts.Backoff, d.opts.MaxBackoff, rand.Float64())
}

// backoff is the wait after that many failures in a row: first·2^(failures-1), at most
// limit, of which jitter in [0,1) takes away up to half, so that the pods of a
// Deployment do not come back to a struggling server all at once. With 1s, a limit of
// 30s and no jitter: 1s, 2s, 4s, 8s, 16s, 30s, 30s.
func backoff(failures int, first, limit time.Duration, jitter float64) time.Duration {
	d := first
	for range failures - 1 {
		if d *= 2; d >= limit {
			d = limit
			break
		}
	}
	return d - time.Duration(jitter*float64(d)/2)
}

// finalError marks an error that another attempt cannot mend.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(format string, args ...any) error { return finalError{fmt.Errorf(format, args...)} }

// retryAfterError is a refusal that may end, with the time the server asked for.
type retryAfterError struct {
	error
	after time.Duration
}

func (e retryAfterError) Unwrap() error { return e.error }
