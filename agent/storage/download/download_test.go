package download

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const body = "0123456789abcdefghijklmnopqrstuvwxyz"

func TestABrokenDownloadIsResumedWhereItBroke(t *testing.T) {
	f := newFixture(t, nil)
	s, addr := serve(t, broken(body, `"v1"`, 10), broken(body, `"v1"`, 5), file(body, `"v1"`))
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, []string{"", "bytes=10-", "bytes=15-"}, s.ranges())
	require.Equal(t, `"v1"`, s.requests[2].Get("If-Range"))
	require.Equal(t, "identity", s.requests[0].Get("Accept-Encoding"))
	require.Len(t, f.clock.slept, 2)
}

func TestANewProcessResumesWhatAnEarlierOneLeft(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Attempts = 1 })
	s, addr := serve(t, broken(body, `"v1"`, 10), file(body, `"v1"`))
	_, err := f.fetch(t, addr)
	require.ErrorContains(t, err, "given up after 1 attempts")
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, []string{"", "bytes=10-"}, s.ranges())

	got, err = f.fetch(t, addr)
	require.NoError(t, err, "a complete file needs no request")
	require.Equal(t, body, got)
	require.Len(t, s.ranges(), 2)
}

func TestAnotherURLDoesNotResumeTheBytesOfTheFirst(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Attempts = 1 })
	s, addr := serve(t, broken(body, `"v1"`, 10), file("other", `"v1"`))
	_, err := f.fetch(t, addr)
	require.Error(t, err)
	got, err := f.fetch(t, addr+"?version=2")
	require.NoError(t, err)
	require.Equal(t, "other", got)
	require.Equal(t, []string{"", ""}, s.ranges())
}

func TestAFileThatChangedIsFetchedFromTheStart(t *testing.T) {
	changed := strings.ToUpper(body)
	for name, c := range map[string]struct {
		answers []func(http.ResponseWriter, *http.Request)
		ranges  []string
	}{
		"the server honours If-Range": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `"v1"`, 10), file(changed, `"v2"`)},
			[]string{"", "bytes=10-"},
		},
		"the server ignores If-Range and shows another ETag": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `"v1"`, 10), broken(changed, `"v2"`, 5), file(changed, `"v2"`)},
			[]string{"", "bytes=10-", ""},
		},
		"the server ignores If-Range and shows another size": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `"v1"`, 10), broken(changed+"!", "", 5), file(changed, `"v2"`)},
			[]string{"", "bytes=10-", ""},
		},
		"the server says 416": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `"v1"`, 10), status(416, "Content-Range", "bytes */5"), file(changed, `"v2"`)},
			[]string{"", "bytes=10-", ""},
		},
		"the server sends another range": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `"v1"`, 10), status(206, "Content-Range", "bytes 0-35/36"), file(changed, `"v2"`)},
			[]string{"", "bytes=10-", ""},
		},
		"the server sends no Content-Range": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `"v1"`, 10), status(206), file(changed, `"v2"`)},
			[]string{"", "bytes=10-", ""},
		},
		"there is nothing to prove it is the same": {
			[]func(http.ResponseWriter, *http.Request){broken(body, "", 10), file(changed, `"v2"`)},
			[]string{"", ""},
		},
		"a weak ETag proves nothing": {
			[]func(http.ResponseWriter, *http.Request){broken(body, `W/"v1"`, 10), file(changed, `"v2"`)},
			[]string{"", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			s, addr := serve(t, c.answers...)
			got, err := f.fetch(t, addr)
			require.NoError(t, err)
			require.Equal(t, changed, got)
			require.Equal(t, c.ranges, s.ranges())
		})
	}
}

func TestAServerThatLiesAboutTheSizeIsNotBelieved(t *testing.T) {
	f := newFixture(t, nil)
	// A 206 that is well-formed and too short: HTTP sees a clean end.
	short := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Range", "bytes 10-35/36")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte(body[10:15]))
	}
	s, addr := serve(t, broken(body, `"v1"`, 10), short, file(body, `"v1"`))
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, []string{"", "bytes=10-", "bytes=15-"}, s.ranges())
	require.Contains(t, f.log.String(), "the body ended after 15 of 36 bytes")
}

func TestABodyLongerThanItsRangeStartsAgain(t *testing.T) {
	f := newFixture(t, nil)
	long := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Range", "bytes 10-35/36")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte(body + body))
	}
	s, addr := serve(t, broken(body, `"v1"`, 10), long, file(body, `"v1"`))
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, []string{"", "bytes=10-", ""}, s.ranges())
}

func TestAChunkedFileOfUnknownSizeIsTakenWhole(t *testing.T) {
	f := newFixture(t, nil)
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(body[:7]))
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write([]byte(body[7:]))
	}
	_, addr := serve(t, chunked)
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
}

func TestStatusesThatMayEndAreRetriedAndOthersAreNot(t *testing.T) {
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504} {
		t.Run(fmt.Sprintf("%d is retried", code), func(t *testing.T) {
			f := newFixture(t, nil)
			s, addr := serve(t, status(code), status(code), file(body, `"v1"`))
			got, err := f.fetch(t, addr)
			require.NoError(t, err)
			require.Equal(t, body, got)
			require.Len(t, s.ranges(), 3)
		})
	}
	for _, code := range []int{204, 206, 304, 400, 401, 403, 404, 410, 416, 501} {
		t.Run(fmt.Sprintf("%d is final", code), func(t *testing.T) {
			f := newFixture(t, nil)
			s, addr := serve(t, status(code))
			_, err := f.fetch(t, addr)
			require.ErrorContains(t, err, fmt.Sprintf("the server answered %d", code))
			require.Len(t, s.ranges(), 1)
			require.Empty(t, f.clock.slept)
		})
	}
}

func TestRetryAfterIsHonouredWithinBounds(t *testing.T) {
	f := newFixture(t, nil)
	_, addr := serve(t,
		status(503, "Retry-After", "7"), status(503, "Retry-After", "86400"),
		status(429, "Retry-After", "Thu, 01 Jan 2026 00:00:33 GMT"), file(body, `"v1"`))
	_, err := f.fetch(t, addr)
	require.NoError(t, err)
	// The third answer is judged at the clock's third reading, 00:00:03.
	require.Equal(t, []time.Duration{7 * time.Second, time.Minute, 30 * time.Second}, f.clock.slept)
}

func TestFailuresInARowAreBounded(t *testing.T) {
	f := newFixture(t, nil)
	s, addr := serve(t, status(500), status(500), status(500), status(500), file(body, `"v1"`))
	_, err := f.fetch(t, addr)
	require.ErrorContains(t, err, "given up after 4 attempts without progress")
	require.ErrorContains(t, err, "500")
	require.Len(t, s.ranges(), 4)
	for i, limit := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		require.LessOrEqual(t, f.clock.slept[i], limit)
		require.GreaterOrEqual(t, f.clock.slept[i], limit/2)
	}
}

func TestProgressClearsTheCountOfFailures(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Attempts = 2 })
	big := strings.Repeat("x", 4*MinProgress)
	step := broken(big, `"v1"`, MinProgress)
	s, addr := serve(t, step, step, step, file(big, `"v1"`))
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, len(big), len(got))
	require.Len(t, s.ranges(), 4)
}

func TestBackoffDoublesUpToItsLimit(t *testing.T) {
	var got []time.Duration
	for n := 1; n <= 7; n++ {
		got = append(got, backoff(n, time.Second, 30*time.Second, 0)/time.Second)
	}
	require.Equal(t, []time.Duration{1, 2, 4, 8, 16, 30, 30}, got)
	require.Equal(t, 500*time.Millisecond, backoff(1, time.Second, time.Second, 1))
	require.Equal(t, 30*time.Second, backoff(1<<20, time.Second, 30*time.Second, 0))
}

func TestASilentServerIsLeft(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Idle = 30 * time.Millisecond })
	silent := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write([]byte(body[:10]))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	s, addr := serve(t, silent, file(body, `"v1"`))
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, []string{"", "bytes=10-"}, s.ranges())
	require.Contains(t, f.log.String(), "no byte came for 30ms")
}

func TestTheEndOfTheContextEndsTheDownload(t *testing.T) {
	f := newFixture(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}
	s, addr := serve(t, stop)
	u, err := url.Parse(addr)
	require.NoError(t, err)
	_, err = f.Fetch(ctx, Request{URL: u, Dir: f.dir})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, s.ranges(), 1)
}

func TestDamagedStateOnlyCostsTheBytes(t *testing.T) {
	f := newFixture(t, nil)
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, stateName), []byte("{"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, partName), []byte("garbage"), 0o600))
	s, addr := serve(t, file(body, `"v1"`))
	got, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, []string{""}, s.ranges())
}

func TestProgressIsLogged(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.ProgressEvery = time.Second })
	big := strings.Repeat("x", 1<<20)
	_, addr := serve(t, file(big, `"v1"`))
	_, err := f.fetch(t, addr)
	require.NoError(t, err)
	require.Contains(t, f.log.String(), "msg=receiving")
	require.Regexp(t, `msg=received .*bytes=1048576 .*percent=100 bytes_per_second=\d+`, f.log.String())
}

func TestOptionsAreChecked(t *testing.T) {
	good := newFixture(t, nil).opts
	for name, change := range map[string]func(*Options){
		"no transport":        func(o *Options) { o.Transport = nil },
		"no attempts":         func(o *Options) { o.Attempts = 0 },
		"backoff over limit":  func(o *Options) { o.Backoff = time.Hour },
		"no idle timeout":     func(o *Options) { o.Idle = 0 },
		"a negative maximum":  func(o *Options) { o.MaxBytes = -1 },
		"no progress at all":  func(o *Options) { o.ProgressEvery = 0 },
		"no clock to look at": func(o *Options) { o.Clock = nil },
	} {
		t.Run(name, func(t *testing.T) {
			opts := good
			change(&opts)
			_, err := New(opts)
			require.Error(t, err)
		})
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes 0-0/*", "bytes */5", "bytes 9-5/10", "bytes -1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		start, total, err := parseContentRange(value)
		if err == nil {
			require.GreaterOrEqual(t, start, int64(0))
			require.True(t, total == -1 || total > start)
		}
	})
}
