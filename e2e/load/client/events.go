package client

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/e2e/load"
)

// runEvents reads streams of events and takes the time from the sending of each, which
// it carries, to its reading. Client and server have the same clock.
func runEvents(ctx context.Context, o Options, warm func()) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, o.WarmUp+o.Duration+answerTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: o.Cell.Clients, DisableCompression: true}}
	defer client.CloseIdleConnections()

	var counting atomic.Bool
	var wg, begun sync.WaitGroup
	var errs errorCount
	delays := make([][]time.Duration, o.Cell.Clients)
	for i := range delays {
		begun.Add(1)
		wg.Go(func() {
			first := sync.OnceFunc(begun.Done)
			defer first()
			err := readEvents(ctx, client, o, func(d time.Duration) {
				first()
				if counting.Load() {
					delays[i] = append(delays[i], d)
				}
			})
			if err != nil && ctx.Err() == nil {
				errs.add(err)
			}
		})
	}
	// A stream that is slow to begin would be missing from what is measured.
	begun.Wait()
	sleep(ctx, o.WarmUp)
	warm()
	start := time.Now()
	counting.Store(true)
	sleep(ctx, o.Duration)
	elapsed := time.Since(start)
	cancel()
	wg.Wait()
	r := summarize(slices.Concat(delays...))
	r.Elapsed = elapsed
	errs.into(&r)
	if r.Requests == 0 {
		return r, fmt.Errorf("no event came from %s: %s", o.Addr, r.FirstError)
	}
	return r, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func readEvents(ctx context.Context, client *http.Client, o Options, event func(delay time.Duration)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.Addr+load.EventsPath, nil)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	req.Host = host
	req.Header.Set("Accept", "text/event-stream")
	for name, value := range o.Header {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking for events: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("asking for events: the answer is %s", res.Status)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		sent, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("an event is %q", text)
		}
		event(time.Since(time.Unix(0, sent)))
	}
	return fmt.Errorf("the events ended: %w", lines.Err())
}
