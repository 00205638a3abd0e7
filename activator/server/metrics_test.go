package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/metricsdoc"
)

// scrape is what Prometheus reads.
func (r *rig) scrape() string {
	w := httptest.NewRecorder()
	r.s.AdminHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(r.t, http.StatusOK, w.Code, w.Body)
	return w.Body.String()
}

// metric is the value of a series of the rig's only target; labels are the further
// ones, such as `code="2xx"`.
func (r *rig) metric(name, labels string) string {
	series := `namespace="models",route="iris-predictor"`
	if labels != "route" && !strings.HasPrefix(labels, "reason=") {
		series += `,revision="iris-predictor-00001"`
	}
	if strings.Contains(labels, "=") {
		series += "," + labels
	}
	series = "rawserve_activator_" + name + "{" + series + "} "
	for line := range strings.SplitSeq(r.scrape(), "\n") {
		if value, ok := strings.CutPrefix(line, series); ok {
			return value
		}
	}
	return "absent"
}

// becomes waits for a metric's value: a response is with its client a moment before it is counted.
func (r *rig) becomes(name, labels, want string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.metric(name, labels) == want }, 10*time.Second, time.Millisecond,
		"%s{%s} is %s and not %s", name, labels, r.metric(name, labels), want)
}

// TestTheMetricsAreWhatPrometheusExpects checks names, help and units after all
// histograms have come about.
func TestTheMetricsAreWhatPrometheusExpects(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, (<-held).code)
	r.becomes("requests_total", `code="2xx"`, "1")
	problems, err := promlint.New(strings.NewReader(r.scrape())).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

// TestTheMetricsAreThoseOfTheDocumentation scrapes an activator that traces and has
// had traffic, so that all there is has come about.
func TestTheMetricsAreThoseOfTheDocumentation(t *testing.T) {
	r, _ := traced(t, protocolHTTP, nil)
	r.serve(backend(t, echo), nil)
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, (<-held).code)
	r.becomes("requests_total", `code="2xx"`, "1")
	doc, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	served, err := metricsdoc.Served(strings.NewReader(r.scrape()))
	require.NoError(t, err)
	require.Empty(t, metricsdoc.Compare(metricsdoc.Parse(string(doc)), served, "rawserve_activator_"))
}

func TestEveryCounterOfARouteBeginsAtZero(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	for _, class := range codeClasses {
		require.Equal(t, "0", r.metric("requests_total", fmt.Sprintf("code=%q", class)))
	}
	for _, cause := range ejectionCauses {
		require.Equal(t, "0", r.metric("ejections_total", fmt.Sprintf("cause=%q", cause)))
	}
	require.Equal(t, "0", r.metric("rejections_total", `reason="QueueFull"`))
	require.Equal(t, "0", r.metric("retries_total", ""))
	require.Equal(t, "0", r.metric("starts_total", `result="started"`))
	require.Equal(t, "0", r.metric("scale_raises_total", `result="failed"`))
	require.Equal(t, "0", r.metric("queue_duration_seconds_count", ""))
	require.Equal(t, "absent", r.metric("request_duration_seconds_count", ""), "this one comes with the first request")
}

// TestAHeldRequestIsSeenWhileItWaitsAndAfter also covers what is written for it.
func TestAHeldRequestIsSeenWhileItWaitsAndAfter(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	require.Equal(t, "1", r.metric("waiting_requests", "route"))
	require.Eventually(t, func() bool {
		age, err := strconv.ParseFloat(r.metric("oldest_wait_seconds", "route"), 64)
		return err == nil && age > 0.01
	}, 10*time.Second, time.Millisecond, "the oldest wait grows")
	<-r.scales.raised
	r.becomes("scale_raises_total", `result="raised"`, "1")
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, (<-held).code)
	r.becomes("requests_total", `code="2xx"`, "1")
	require.Equal(t, "1", r.metric("request_duration_seconds_count", ""))
	require.Equal(t, "1", r.metric("first_byte_seconds_count", ""))
	require.Equal(t, "1", r.metric("queue_duration_seconds_count", ""))
	require.Equal(t, "1", r.metric("ready_pods", ""))
	require.Equal(t, "0", r.metric("oldest_wait_seconds", "route"))
	r.becomes("starts_total", `result="started"`, "1")
	// One that is not held is in no queue.
	require.Equal(t, http.StatusOK, fetch(client(t, false), http.MethodGet, r.url("/"), "").code)
	r.becomes("requests_total", `code="2xx"`, "2")
	require.Equal(t, "1", r.metric("queue_duration_seconds_count", ""))
}

func TestWhatTheActivatorAnswersItselfIsCountedByReason(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Stopped = true })
	require.Equal(t, http.StatusServiceUnavailable, fetch(client(t, false), http.MethodGet, r.url("/"), "").code)
	r.becomes("rejections_total", `reason="Stopped"`, "1")
	require.Equal(t, "1", r.metric("requests_total", `code="5xx"`))
	require.Equal(t, "0", r.metric("rejections_total", `reason="QueueFull"`))
}

// TestEjectionsAndRetriesAreCountedByCause has one pod whose agent says that its
// server is down, one that takes no connection, and one that serves.
func TestEjectionsAndRetriesAreCountedByCause(t *testing.T) {
	r := newRig(t, nil)
	port := backend(t, echo)
	backendOn(t, net.JoinHostPort("127.0.0.2", strconv.Itoa(port)), func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		(&answer.Answer{Reason: answer.ServerDown, Message: "down"}).Write(w, q)
	})
	// Asked whether they are ready again, the agents say nothing.
	r.serve(port, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].AgentPort = 1 })
	target := r.s.find(types.NamespacedName{Namespace: "models", Name: "iris-predictor"}).plan.Load().targets[0]
	target.pool.SetReady("down", "127.0.0.2")
	target.pool.SetReady("gone", "127.0.0.3")
	c := client(t, false)
	held := send(c, http.MethodPost, r.url("/"), "x")
	r.becomes("retries_total", "", "1")
	r.becomes("ejections_total", `cause="refused"`, "1")
	r.becomes("ejections_total", `cause="unreachable"`, "1")
	target.pool.SetReady("up", "127.0.0.1")
	require.Equal(t, http.StatusOK, (<-held).code)
	r.becomes("retries_total", "", "2")
	require.Equal(t, "0", r.metric("ejections_total", `cause="broken"`))
	require.Equal(t, "0", r.metric("requests_total", `code="5xx"`))
}

func TestAGRPCFailureDoesNotCountAsSuccess(t *testing.T) {
	for status, class := range map[int]string{0: "2xx", 3: "4xx", 13: "5xx", 14: "5xx"} {
		for _, trailer := range []bool{false, true} {
			r := newRig(t, nil)
			r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				name := "Grpc-Status"
				if trailer {
					_, _ = w.Write([]byte("message"))
					name = http.TrailerPrefix + name
				}
				w.Header().Set(name, strconv.Itoa(status))
			}), nil)
			r.ready("a", "127.0.0.1")
			req, err := http.NewRequest(http.MethodPost, r.url("/x/Y"), strings.NewReader("x"))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/grpc")
			res, err := client(t, true).Do(req)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			r.becomes("requests_total", fmt.Sprintf("code=%q", class), "1")
		}
	}
}

func TestTheSeriesOfARevisionEndWithIt(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	require.Contains(t, r.scrape(), "iris-predictor-00001")
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Revision = "iris-predictor-00002" })
	require.NotContains(t, r.scrape(), "iris-predictor-00001")
	require.Contains(t, r.scrape(), "iris-predictor-00002")
	// The route's port lingers, and with it the route.
	r.s.applyRoutes(nil, time.Now())
	r.s.applyRoutes(nil, time.Now().Add(lingering+time.Second))
	require.NotContains(t, r.scrape(), "iris-predictor")
}

func TestAcknowledgementsThatAreNotWrittenAreCounted(t *testing.T) {
	route := func() *v1alpha1.InferenceRoute {
		return &v1alpha1.InferenceRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: "m", UID: "u", Generation: 1}}
	}
	key := types.NamespacedName{Namespace: "models", Name: "m"}
	a := newAcker(noAcks{}, "activator-1", nil)
	a.open()
	defer a.queue.ShutDown()
	a.want([]*v1alpha1.InferenceRoute{route()}, map[types.NamespacedName]ack{key: {generation: 1}})
	require.Equal(t, 1, a.unwritten())
	require.True(t, a.next(t.Context()))
	require.Zero(t, a.unwritten())
	a.want([]*v1alpha1.InferenceRoute{route()}, map[types.NamespacedName]ack{key: {generation: 1, message: "no port"}})
	require.Equal(t, 1, a.unwritten())
	a.want(nil, nil)
	require.Zero(t, a.unwritten(), "the route is gone")
}

// TestANameThatNeedsItIsEscaped: the schema of a revision's name allows any text.
func TestANameThatNeedsItIsEscaped(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Revision = "a\"b\\c\nd" })
	served, err := metricsdoc.Served(strings.NewReader(r.scrape()))
	require.NoError(t, err)
	require.Contains(t, served, "rawserve_activator_ready_pods")
	require.Contains(t, r.scrape(), `revision="a\"b\\c\nd"`)
}

// TestAThirdReaderIsTurnedAway: a scrape may be long, and readers may be slow.
func TestAThirdReaderIsTurnedAway(t *testing.T) {
	r := newRig(t, nil)
	h := r.s.serveMetrics()
	leave, entered := make(chan struct{}), make(chan struct{}, scrapes)
	done := make(chan struct{}, scrapes)
	for range scrapes {
		go func() {
			h.ServeHTTP(&slowWriter{ResponseRecorder: httptest.NewRecorder(), entered: entered, leave: leave}, nil)
			done <- struct{}{}
		}()
		<-entered
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, nil)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	close(leave)
	for range scrapes {
		<-done
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, nil)
	require.Equal(t, http.StatusOK, w.Code)
}

type slowWriter struct {
	*httptest.ResponseRecorder
	entered, leave chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	select {
	case w.entered <- struct{}{}:
	default:
	}
	<-w.leave
	return len(p), nil
}

// BenchmarkScrape reads the metrics of ten thousand routes, all of which were used.
func BenchmarkScrape(b *testing.B) {
	r := newRig(b, nil)
	routes := make([]*v1alpha1.InferenceRoute, 10_000)
	for i := range routes {
		routes[i] = &v1alpha1.InferenceRoute{
			ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: fmt.Sprintf("model-%d-predictor", i), Generation: 1},
			Spec:       v1alpha1.InferenceRouteSpec{Targets: []v1alpha1.RouteTarget{{Revision: fmt.Sprintf("model-%d-predictor-00001", i), Weight: 100}}},
		}
	}
	r.s.applyRoutes(routes, time.Now())
	for _, rt := range *r.s.routeList.Load() {
		rt.plan.Load().targets[0].counters.duration.Observe(time.Second)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &counting{header: http.Header{}}
		r.s.serveMetrics().ServeHTTP(w, nil)
		b.ReportMetric(float64(w.n)/1e6, "MB/scrape")
	}
}

type counting struct {
	header http.Header
	n      int
}

func (w *counting) Header() http.Header         { return w.header }
func (w *counting) WriteHeader(int)             {}
func (w *counting) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }
