package collect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

var now = time.Date(2026, 1, 1, 12, 0, 10, 0, time.UTC)

// api is a server that speaks what the collector asks of the custom metrics API.
type api struct {
	versions []string
	// answers by path below the version; a string is a 404 with that sentence.
	answers map[string]any

	mu    sync.Mutex
	asked []string
	now   int
	most  int
}

func (a *api) start(t *testing.T) *Collector {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	c, err := New(Options{Config: &rest.Config{Host: server.URL}, Parallel: 3})
	require.NoError(t, err)
	return c
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Path)
	a.now++
	a.most = max(a.most, a.now)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.now--
		a.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/api":
		fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
	case "/apis":
		group := metav1.APIGroup{Name: "custom.metrics.k8s.io"}
		for _, v := range a.versions {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: "custom.metrics.k8s.io/" + v, Version: v})
		}
		if len(group.Versions) > 0 {
			group.PreferredVersion = group.Versions[0]
		}
		json.NewEncoder(w).Encode(metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{group}})
	default:
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/apis/custom.metrics.k8s.io/"), "/")
		switch answer := a.answers[path].(type) {
		case string:
			fmt.Fprint(w, answer)
		case error:
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404, Message: answer.Error()})
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}

func list(version, field, items string) string {
	return strings.ReplaceAll(fmt.Sprintf(`{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/%s","metadata":{},"items":[%s]}`, version, items), "METRIC", field)
}

const (
	iris = `{"describedObject":{"kind":"Scaler","namespace":"ml","name":"iris","apiVersion":"rawserve.dev/v1alpha1"},METRIC,"timestamp":"2026-01-01T12:00:08Z","windowSeconds":2,"value":"2500m"}`
	bert = `{"describedObject":{"kind":"Scaler","namespace":"ml","name":"bert","apiVersion":"rawserve.dev/v1alpha1"},METRIC,"timestamp":"2026-01-01T12:00:09Z","windowSeconds":1,"value":"7"}`
)

func TestOneQueryBringsAMetricOfAllScalersOfANamespace(t *testing.T) {
	a := &api{versions: []string{"v1beta1", "v1beta2"}, answers: map[string]any{
		"namespaces/ml/scalers.rawserve.dev/*/inference_concurrency": list("v1beta2", `"metric":{"name":"inference_concurrency"}`, iris+","+bert),
		"namespaces/ml/scalers.rawserve.dev/*/inference_waiting":     fmt.Errorf("activator activator-1 has not reported for 4s"),
	}}
	c := a.start(t)
	got := c.Collect(t.Context(), map[string][]string{"ml": {Concurrency, Waiting}})
	require.Equal(t, Snapshot{"ml": {
		Values: map[string]map[string]Value{Concurrency: {
			"iris": {Value: 2.5, At: time.Date(2026, 1, 1, 12, 0, 8, 0, time.UTC).Local(), Over: 2 * time.Second},
			"bert": {Value: 7, At: time.Date(2026, 1, 1, 12, 0, 9, 0, time.UTC).Local(), Over: time.Second},
		}},
		Errors: map[string]string{Waiting: "activator activator-1 has not reported for 4s"},
	}}, got)
	require.Len(t, a.asked, 4, "two for discovery, one for each metric: %v", a.asked)
	require.Contains(t, a.asked, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ml/scalers.rawserve.dev/*/inference_concurrency")

	c.Collect(t.Context(), map[string][]string{"ml": {Concurrency, Waiting}})
	require.Len(t, a.asked, 6, "discovery is asked once")
}

func TestTheOlderVersionServesToo(t *testing.T) {
	a := &api{versions: []string{"v1beta1"}, answers: map[string]any{
		"namespaces/ml/scalers.rawserve.dev/*/inference_concurrency": list("v1beta1", `"metricName":"inference_concurrency"`, strings.Replace(iris, "windowSeconds", "window", 1)),
	}}
	got := a.start(t).Collect(t.Context(), map[string][]string{"ml": {Concurrency}})
	require.Empty(t, got["ml"].Errors)
	require.Equal(t, 2.5, got["ml"].Values[Concurrency]["iris"].Value)
	require.Equal(t, 2*time.Second, got["ml"].Values[Concurrency]["iris"].Over)
}

func TestAnUnreachableAPIMakesEverythingAbsentAndSaysWhy(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(Options{Config: &rest.Config{Host: server.URL}})
	require.NoError(t, err)
	got := c.Collect(t.Context(), map[string][]string{"ml": {Concurrency, RPS, Waiting}})
	readings, waiting := got["ml"].Of("iris", 1, now)
	require.False(t, waiting.Known)
	require.Contains(t, waiting.Why, "connect")
	for _, r := range readings {
		require.Equal(t, v1alpha1.SignalAbsent, r.State)
		require.Contains(t, r.Why, "connect")
	}
}

func TestAMissingAPIIsNamedWithTheRemedy(t *testing.T) {
	got := (&api{}).start(t).Collect(t.Context(), map[string][]string{"ml": {Concurrency}})
	require.Contains(t, got["ml"].Errors[Concurrency], "install the metrics adapter")
}

func TestQueriesAtATimeAreBoundedAndABrokenOneHarmsNoOther(t *testing.T) {
	a := &api{versions: []string{"v1beta2"}, answers: map[string]any{}}
	wanted := map[string][]string{}
	for i := range 40 {
		ns := fmt.Sprintf("ns-%d", i)
		wanted[ns] = []string{Concurrency}
		if i%2 == 0 {
			a.answers["namespaces/"+ns+"/scalers.rawserve.dev/*/inference_concurrency"] = list("v1beta2", `"metric":{"name":"inference_concurrency"}`, iris)
		}
	}
	got := a.start(t).Collect(t.Context(), wanted)
	require.LessOrEqual(t, a.most, 3)
	for i := range 40 {
		ns := fmt.Sprintf("ns-%d", i)
		require.Equal(t, i%2 == 1, got[ns].Errors[Concurrency] != "", ns)
	}
}

func TestAValueIsJudgedByItsAgeAndThePodsBehindIt(t *testing.T) {
	fresh := Value{Value: 3, At: now.Add(-2 * time.Second), Over: time.Second}
	old := Value{Value: 3, At: now.Add(-6 * time.Second)}
	two := map[string]Value{"iris": {Value: 2, At: now}}
	for name, c := range map[string]struct {
		values map[string]map[string]Value
		ready  int32
		want   autoscaler.Reading
	}{
		"all pods report": {map[string]map[string]Value{Concurrency: {"iris": fresh}, ReportingPods: two}, 2,
			autoscaler.Reading{State: v1alpha1.SignalFresh, Value: 3, At: fresh.At, Over: time.Second}},
		"one does not": {map[string]map[string]Value{Concurrency: {"iris": fresh}, ReportingPods: two}, 3,
			autoscaler.Reading{State: v1alpha1.SignalPartial, Value: 3, At: fresh.At, Over: time.Second, Why: "2 of 3 ready pods report"}},
		"nobody knows how many do": {map[string]map[string]Value{Concurrency: {"iris": fresh}}, 1,
			autoscaler.Reading{State: v1alpha1.SignalPartial, Value: 3, At: fresh.At, Over: time.Second, Why: "inference_reporting_pods was not read"}},
		"none is ready, what waits counts": {map[string]map[string]Value{Concurrency: {"iris": fresh}}, 0,
			autoscaler.Reading{State: v1alpha1.SignalFresh, Value: 3, At: fresh.At, Over: time.Second}},
		"too old": {map[string]map[string]Value{Concurrency: {"iris": old}, ReportingPods: two}, 2,
			autoscaler.Reading{State: v1alpha1.SignalStale, Why: "inference_concurrency is 6s old"}},
		"of others only": {map[string]map[string]Value{Concurrency: {"bert": fresh}}, 2,
			autoscaler.Reading{State: v1alpha1.SignalAbsent, Why: "the metrics adapter has no value of inference_concurrency"}},
	} {
		t.Run(name, func(t *testing.T) {
			readings, _ := Namespace{Values: c.values}.Of("iris", c.ready, now)
			c.want.Metric = v1alpha1.MetricConcurrency
			require.Equal(t, c.want, readings[0])
		})
	}
}
