package server

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingIsDoneForAClientWhoseTimeIsOver has a request wait for a slot, and one
// for the server, longer than they say that they do.
func TestNothingIsDoneForAClientWhoseTimeIsOver(t *testing.T) {
	var came atomic.Int64
	left := make(chan struct{}, 2)
	r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
		came.Add(1)
		<-q.Context().Done()
		left <- struct{}{}
	}), func(c *Config) { c.ContainerConcurrency = 1 })
	ask := func(limit string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr, nil)
		require.NoError(t, err)
		req.Header.Set("Rawserve-Timeout", limit)
		res, err := client(t, false).Do(req)
		require.NoError(t, err)
		res.Body.Close()
		return res.StatusCode, res.Header.Get("Rawserve-Reason")
	}
	type answered struct {
		code   int
		reason string
	}
	first := make(chan answered, 1)
	go func() {
		code, reason := ask("1s")
		first <- answered{code, reason}
	}()
	require.Eventually(t, func() bool { return came.Load() == 1 }, 5*time.Second, time.Millisecond)
	code, reason := ask("50ms")
	require.Equal(t, http.StatusGatewayTimeout, code)
	require.Equal(t, "DeadlineExceeded", reason)
	require.Equal(t, answered{http.StatusGatewayTimeout, "DeadlineExceeded"}, <-first)
	<-left // the server has been told
	code, _ = ask("0s")
	require.Equal(t, http.StatusGatewayTimeout, code)
	require.EqualValues(t, 1, came.Load(), "what waited was not executed")
	require.Zero(t, r.stats().InFlight)
}

func TestTheServerIsToldWhatTimeIsLeftAfterTheQueue(t *testing.T) {
	leave := make(chan struct{})
	limits := make(chan string, 2)
	r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
		limits <- q.Header.Get("Rawserve-Timeout")
		<-leave
	}), func(c *Config) { c.ContainerConcurrency = 1 })
	done := make(chan error, 2)
	ask := func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr, nil)
		if err == nil {
			req.Header.Set("Rawserve-Timeout", "20s")
			var res *http.Response
			if res, err = client(t, false).Do(req); err == nil {
				res.Body.Close()
			}
		}
		done <- err
	}
	go ask()
	require.Equal(t, "20s", <-limits, "one that did not wait")
	go ask()
	r.queued(1)
	time.AfterFunc(50*time.Millisecond, func() { close(leave) })
	left, err := time.ParseDuration(<-limits)
	require.NoError(t, err)
	require.Less(t, left, 20*time.Second-50*time.Millisecond)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}
