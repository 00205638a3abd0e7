package download

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeClock advances a second whenever it is read, and never really sleeps.
type fakeClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// fixture is a downloader with a log to read and a clock that costs no time.
type fixture struct {
	*Downloader
	clock *fakeClock
	log   *bytes.Buffer
	dir   string
}

func newFixture(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{clock: &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}, dir: t.TempDir()}
	transport := NewTransport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	opts := Options{
		Transport: transport, Log: slog.New(slog.NewTextHandler(f.log, nil)), Clock: f.clock,
		Attempts: 4, Backoff: time.Second, MaxBackoff: 30 * time.Second, Idle: 10 * time.Second, ProgressEvery: 5 * time.Second,
	}
	if change != nil {
		change(&opts)
	}
	var err error
	f.Downloader, err = New(opts)
	require.NoError(t, err)
	return f
}

func (f *fixture) fetch(t *testing.T, raw string) (string, error) {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	res, err := f.Fetch(context.Background(), Request{URL: u, Dir: f.dir})
	if err != nil {
		return "", err
	}
	body, err := os.ReadFile(res.Path)
	require.NoError(t, err)
	require.EqualValues(t, len(body), res.Size)
	return string(body), nil
}

// script serves one answer per request, in order, and remembers the requests.
type script struct {
	mu       sync.Mutex
	requests []http.Header
	answers  []func(http.ResponseWriter, *http.Request)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.requests)
	s.requests = append(s.requests, r.Header.Clone())
	s.mu.Unlock()
	if n >= len(s.answers) {
		http.Error(w, "more requests than scripted", http.StatusTeapot)
		return
	}
	s.answers[n](w, r)
}

func (s *script) ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, h := range s.requests {
		got = append(got, h.Get("Range"))
	}
	return got
}

func serve(t *testing.T, answers ...func(http.ResponseWriter, *http.Request)) (*script, string) {
	t.Helper()
	s := &script{answers: answers}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL + "/model.bin"
}

// file answers like a static file server: ranges, If-Range, an ETag.
func file(body, etag string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "model.bin", time.Time{}, strings.NewReader(body))
	}
}

// broken answers as file does and breaks the connection after n bytes of the body.
func broken(body, etag string, n int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		from, status := 0, http.StatusOK
		if after, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			from, _ = strconv.Atoi(strings.TrimSuffix(after, "-"))
			status = http.StatusPartialContent
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
		}
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)-from))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body[from : from+n]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}
