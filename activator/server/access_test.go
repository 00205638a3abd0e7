package server

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// logbook is what an activator has logged.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
	// stuck, when set, keeps writers waiting.
	stuck chan struct{}
}

func (l *logbook) Write(p []byte) (int, error) {
	if l.stuck != nil && bytes.Contains(p, []byte(`"msg":"request"`)) {
		<-l.stuck
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// records are the records of the access log.
func (l *logbook) records(t testing.TB) []map[string]any {
	var out []map[string]any
	for line := range strings.SplitSeq(strings.TrimSpace(l.text()), "\n") {
		if line == "" {
			continue
		}
		var r map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		if r["msg"] == "request" {
			out = append(out, r)
		}
	}
	return out
}

// logging is a rig with an access log of its own.
func logging(t *testing.T, config AccessLogConfig) (*rig, *logbook) {
	l := &logbook{}
	return loggingTo(t, config, l), l
}

func loggingTo(t *testing.T, config AccessLogConfig, l *logbook) *rig {
	return newRigWith(t, func(c *Config) { c.AccessLog = config }, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(l, nil)) })
}

func TestARecordSaysWhereTheTimeWentAndNothingSecret(t *testing.T) {
	r, l := logging(t, AccessLogConfig{SampleRatio: 1, MaxPerSecond: 100})
	r.serve(backend(t, echo), nil)
	req, err := http.NewRequest(http.MethodPost, r.url("/v1/models/iris:predict?token=hunter2"), strings.NewReader("hunter2"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer hunter2")
	req.Header.Set("Traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
	done := make(chan int, 1)
	go func() {
		res, err := client(t, false).Do(req)
		if err != nil {
			done <- 0
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		done <- res.StatusCode
	}()
	r.waiting(1)
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, <-done)
	require.Eventually(t, func() bool { return len(l.records(t)) == 1 }, 10*time.Second, time.Millisecond)
	got := l.records(t)[0]
	for _, name := range []string{"queue", "firstByte", "took"} {
		require.Positive(t, got[name], name)
		delete(got, name)
	}
	delete(got, "time")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "request", "namespace": "models", "route": "iris-predictor", "revision": "iris-predictor-00001",
		"pod": "a", "attempts": 1.0, "method": "POST", "path": "/v1/models/iris:predict", "protocol": "HTTP/1.1", "client": "127.0.0.1",
		"status": 200.0, "outcome": "done", "requestBytes": 7.0, "responseBytes": 7.0, "trace": callersTrace,
	}, got)
	require.NotContains(t, l.text(), "hunter2")
}

func TestRequestsThatFailAreLoggedWhateverTheSample(t *testing.T) {
	r, l := logging(t, AccessLogConfig{ErrorsPerSecond: 100})
	r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/fails":
			w.WriteHeader(http.StatusInternalServerError)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/cut":
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("short"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}), nil)
	r.ready("a", "127.0.0.1")
	c := client(t, false)
	for _, path := range []string{"/", "/missing", "/fails", "/cut"} {
		fetch(c, http.MethodGet, r.url(path), "")
	}
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Stopped = true })
	require.Equal(t, http.StatusServiceUnavailable, fetch(c, http.MethodGet, r.url("/shed"), "").code)
	require.Eventually(t, func() bool { return len(l.records(t)) >= 3 }, 10*time.Second, time.Millisecond)
	got := map[string]string{}
	for _, rec := range l.records(t) {
		reason, _ := rec["reason"].(string)
		got[rec["path"].(string)] = rec["level"].(string) + " " + rec["outcome"].(string) + " " + reason
	}
	require.Equal(t, map[string]string{"/fails": "WARN done ", "/cut": "WARN cut ", "/shed": "WARN done Stopped"}, got)
}

// TestARouteThatFailsAllTheTimeFillsNoLog, and says how much it has not said.
func TestARouteThatFailsAllTheTimeFillsNoLog(t *testing.T) {
	r, l := logging(t, AccessLogConfig{ErrorsPerSecond: 0.01})
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Stopped = true })
	c := client(t, false)
	for range 50 {
		require.Equal(t, http.StatusServiceUnavailable, fetch(c, http.MethodGet, r.url("/"), "").code)
	}
	r.becomes("requests_total", `code="5xx"`, "50")
	require.Eventually(t, func() bool { return len(l.records(t)) == 1 }, 10*time.Second, time.Millisecond)
	require.Contains(t, r.scrape(), `rawserve_activator_access_log_records_total{result="suppressed"} 49`)
}

// TestALogThatNobodyReadsHoldsUpNoRequest: what does not fit is dropped and counted.
func TestALogThatNobodyReadsHoldsUpNoRequest(t *testing.T) {
	l := &logbook{stuck: make(chan struct{})}
	r := loggingTo(t, AccessLogConfig{SampleRatio: 1, MaxPerSecond: 1e6}, l)
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	r.ready("a", "127.0.0.1")
	c := client(t, false)
	for range accessQueue + 50 {
		require.Equal(t, http.StatusOK, fetch(c, http.MethodGet, r.url("/"), "").code)
	}
	require.Eventually(t, func() bool { return r.s.access.dropped.Load() > 0 }, 10*time.Second, time.Millisecond)
	close(l.stuck)
	r.stop()
	<-r.ended
	require.Len(t, l.records(t), int(r.s.access.written.Load()), "the end waits for what is there")
}

func TestAPathIsLoggedInPartAndOnOneLine(t *testing.T) {
	r, l := logging(t, AccessLogConfig{SampleRatio: 1, MaxPerSecond: 100})
	r.serve(backend(t, echo), nil)
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, fetch(client(t, false), http.MethodGet, r.url("/a%0A%22level%22"+strings.Repeat("x", 1000)), "").code)
	require.Eventually(t, func() bool { return len(l.records(t)) == 1 }, 10*time.Second, time.Millisecond)
	path := l.records(t)[0]["path"].(string)
	require.Less(t, len(path), 300)
	require.Contains(t, path, "\n\"level\"", "it is one value, whatever is in it")
}
