package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rig is an agent on loopback in front of a server.
type rig struct {
	t     testing.TB
	s     *Server
	addr  string
	admin *httptest.Server
	stop  context.CancelFunc
	ended chan struct{}
}

func newRig(t testing.TB, upstream string, change func(*Config)) *rig {
	config := Default()
	config.Forwards = Forwards{{Listen: 9081, Server: 8080}}
	config.SpoolDir = t.TempDir()
	if change != nil {
		change(&config)
	}
	s, err := New(config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.listen(ln, upstream)
	ctx, stop := context.WithCancel(context.Background())
	r := &rig{t: t, s: s, addr: ln.Addr().String(), admin: httptest.NewServer(s.AdminHandler()), stop: stop, ended: make(chan struct{})}
	var parts sync.WaitGroup
	parts.Go(func() { _ = s.Serve(ctx) })
	parts.Go(func() { _ = s.Probe(ctx) })
	go func() {
		parts.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
		r.admin.Close()
	})
	return r
}

func upstream(t testing.TB, handler http.HandlerFunc) string {
	b := httptest.NewUnstartedServer(handler)
	b.Config.Protocols = new(http.Protocols)
	b.Config.Protocols.SetHTTP1(true)
	b.Config.Protocols.SetUnencryptedHTTP2(true)
	b.Start()
	t.Cleanup(b.Close)
	return b.Listener.Addr().String()
}

func client(t testing.TB, h2 bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

type reply struct {
	code   int
	body   string
	header http.Header
	closes bool
	err    error
}

func fetch(c *http.Client, method, url, body string) reply {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	res, err := c.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, string(b), res.Header, res.Close, err}
}

func (r *rig) get(path string) reply {
	return fetch(r.admin.Client(), http.MethodGet, r.admin.URL+path, "")
}

func (r *rig) stats() Stats {
	var st Stats
	require.NoError(r.t, json.Unmarshal([]byte(r.get("/stats").body), &st))
	return st
}

func (r *rig) queued(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.s.limiter.Waiting() == n }, 30*time.Second, time.Millisecond)
}

func (s *conns) len() int { return len(s.list()) }

// heardSince counts the connections that have sent something since.
func (s *conns) heardSince(t time.Time) int {
	n := 0
	for _, c := range s.list() {
		if c.heard.Load() > t.UnixNano() && !c.busy.Load() {
			n++
		}
	}
	return n
}
