package e2e

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/e2e/suites/harness"
)

// wake is one request that met a service at zero.
type wake struct {
	// scaleWritten is from sending the request to seeing the new scale on a watch.
	scaleWritten time.Duration
	// firstByte is from sending the request to the response's header.
	firstByte time.Duration
	// afterServer is from the moment the server began to listen, which is when it
	// could first have answered, to the response's header.
	afterServer time.Duration
}

// BenchmarkFromZero measures how much rawserve adds to a start. Run it with
//
//	go test ./e2e -run '^$' -bench FromZero -benchtime 20x
func BenchmarkFromZero(b *testing.B) {
	ctx := context.Background()
	ns := "from-zero-" + strconv.FormatInt(time.Now().Unix()%100000, 10)
	require.NoError(b, env.CreateNamespace(ctx, ns))
	b.Cleanup(func() { _ = env.Kube.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}) })
	require.NoError(b, env.Create(ctx, ns, harness.TestService("wake", nil)))
	_, err := env.WaitReady(ctx, ns, "wake", 2*time.Minute)
	require.NoError(b, err)

	var wakes []wake
	for b.Loop() {
		b.StopTimer()
		_, err := env.WaitReplicas(ctx, ns, "wake-predictor", 0, 2*time.Minute)
		require.NoError(b, err)
		// The last pod drains for seconds more, and serves what reaches it.
		_, err = env.Kubectl(ctx, "wait", "-n", ns, "--for=delete", "pod", "-l", "serving.kserve.io/inferenceservice=wake", "--timeout=60s")
		require.NoError(b, err)
		b.StartTimer()
		wakes = append(wakes, wakeOnce(b, ns, "wake"))
	}
	report(b, wakes, "scale-written", func(w wake) time.Duration { return w.scaleWritten })
	report(b, wakes, "first-byte", func(w wake) time.Duration { return w.firstByte })
	report(b, wakes, "after-server", func(w wake) time.Duration { return w.afterServer })
}

func report(b *testing.B, wakes []wake, name string, of func(wake) time.Duration) {
	all := make([]time.Duration, len(wakes))
	for i, w := range wakes {
		all[i] = of(w)
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[min(int(q*float64(len(all))), len(all)-1)].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), name+"-p50-ms")
	b.ReportMetric(at(0.95), name+"-p95-ms")
}

func wakeOnce(b *testing.B, ns, name string) wake {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d, err := env.Kube.AppsV1().Deployments(ns).Get(ctx, name+"-predictor", metav1.GetOptions{})
	require.NoError(b, err)
	events, err := env.Kube.AppsV1().Deployments(ns).Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + d.Name, ResourceVersion: d.ResourceVersion,
	})
	require.NoError(b, err)
	written := make(chan time.Time, 1)
	go func() {
		defer close(written)
		for e := range events.ResultChan() {
			if d, ok := e.Object.(*appsv1.Deployment); ok && *d.Spec.Replicas > 0 {
				written <- time.Now()
				return
			}
		}
	}()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, harness.PredictorURL(ns, name)+"/v2/models/"+name+"/infer", strings.NewReader(v2Body))
	require.NoError(b, err)
	// The address is looked up before, so that only the request is measured.
	client := env.HTTPClient(false)
	sent := time.Now()
	resp, err := client.Do(req)
	first := time.Now()
	require.NoError(b, err)
	defer resp.Body.Close()
	require.Equal(b, http.StatusOK, resp.StatusCode)
	listening, err := strconv.ParseInt(resp.Header.Get("X-Server-Started-At"), 10, 64)
	require.NoError(b, err)
	events.Stop()
	at, ok := <-written
	require.True(b, ok, "the watch saw no new scale")
	return wake{scaleWritten: at.Sub(sent), firstByte: first.Sub(sent), afterServer: first.Sub(time.Unix(0, listening))}
}
