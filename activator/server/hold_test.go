package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func TestARequestAtZeroRaisesTheScaleOnceAndIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	r.scales.conflicts = 2
	target := backend(t, echo)
	r.serve(target, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].ActivationScale = 3 })
	c := client(t, false)
	var replies []<-chan reply
	for i := range 20 {
		replies = append(replies, send(c, http.MethodPost, r.url("/"), fmt.Sprint("body ", i)))
	}
	<-r.scales.raised
	r.waiting(20)
	r.ready("a", "127.0.0.1")
	for i, ch := range replies {
		got := <-ch
		require.NoError(t, got.err)
		require.Equal(t, fmt.Sprint("body ", i), got.body)
	}
	require.Equal(t, []int32{3}, r.scales.written())
	st := r.stats()
	require.EqualValues(t, 20, st.Arrivals)
	require.EqualValues(t, 20, st.Forwarded)
	require.Zero(t, st.Waiting)
	require.Zero(t, st.Abandoned)
	require.Positive(t, st.WaitingSeconds)
}

func TestAScaleThatIsNotZeroIsLeftAlone(t *testing.T) {
	r := newRig(t, nil)
	r.scales.replicas = 2
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	got := send(client(t, false), http.MethodGet, r.url("/"), "")
	r.waiting(1)
	r.ready("a", "127.0.0.1")
	require.Equal(t, 200, (<-got).code)
	require.Empty(t, r.scales.written())
}

func TestAScaleSetBackToZeroIsRaisedAgain(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	got := send(client(t, false), http.MethodGet, r.url("/"), "")
	<-r.scales.raised
	r.scales.mu.Lock()
	r.scales.replicas = 0
	r.scales.version++
	r.scales.mu.Unlock()
	<-r.scales.raised
	r.ready("a", "127.0.0.1")
	require.Equal(t, 200, (<-got).code)
	require.Equal(t, []int32{1, 1}, r.scales.written())
}

func TestAScaleThatIsSomebodyElsesIsNotRaised(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), func(s *v1alpha1.InferenceRouteSpec) {
		s.Targets[0].KeepScale = true
		s.Targets[0].ProgressDeadline = metav1.Duration{Duration: time.Second}
	})
	got := <-send(client(t, false), http.MethodGet, r.url("/"), "")
	require.Equal(t, http.StatusServiceUnavailable, got.code)
	require.Contains(t, got.body, "The scale could not be raised: it belongs to another writer")
	again := send(client(t, false), http.MethodGet, r.url("/"), "")
	r.waiting(1)
	r.ready("a", "127.0.0.1") // its owner has raised it
	require.Equal(t, 200, (<-again).code)
	require.Empty(t, r.scales.written())
}

func TestAnUnreachableAPIServerIsAskedAgain(t *testing.T) {
	r := newRig(t, nil)
	r.scales.fail = errors.New("connection refused")
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	got := send(client(t, false), http.MethodGet, r.url("/"), "")
	r.waiting(1)
	r.scales.mu.Lock()
	r.scales.fail = nil
	r.scales.mu.Unlock()
	<-r.scales.raised
	r.ready("a", "127.0.0.1")
	require.Equal(t, 200, (<-got).code)
}

func TestHeldRequestsAreServedInTheOrderOfTheirArrival(t *testing.T) {
	r := newRig(t, nil)
	var mu sync.Mutex
	var order []string
	target := backend(t, func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		order = append(order, q.URL.Path)
		mu.Unlock()
	})
	r.serve(target, func(s *v1alpha1.InferenceRouteSpec) { s.ContainerConcurrency = 1 })
	c := client(t, false)
	var want []string
	var replies []<-chan reply
	for i := range 50 {
		path := "/" + strconv.Itoa(i)
		want = append(want, path)
		replies = append(replies, send(c, http.MethodPost, r.url(path), "x"))
		r.waiting(int64(i + 1))
	}
	r.ready("a", "127.0.0.1")
	for _, ch := range replies {
		require.Equal(t, 200, (<-ch).code)
	}
	require.Equal(t, want, order)
}

func TestTheConcurrencyLimitHoldsInEachPod(t *testing.T) {
	r := newRig(t, nil)
	var inside, most atomic.Int64
	handler := func(http.ResponseWriter, *http.Request) {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond) // stands for the model's work
		inside.Add(-1)
	}
	r.serve(backend(t, handler), func(s *v1alpha1.InferenceRouteSpec) { s.ContainerConcurrency = 3 })
	r.ready("a", "127.0.0.1")
	c := client(t, false)
	var replies []<-chan reply
	for range 60 {
		replies = append(replies, send(c, http.MethodGet, r.url("/"), ""))
	}
	for _, ch := range replies {
		require.Equal(t, 200, (<-ch).code)
	}
	require.EqualValues(t, 3, most.Load())
}

func TestTwoThousandHeldRequestsAreAllAnswered(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	c := client(t, false)
	replies := make([]<-chan reply, 2000)
	for i := range replies {
		replies[i] = send(c, http.MethodPost, r.url("/"), strconv.Itoa(i))
	}
	r.waiting(2000)
	begun := time.Now()
	r.ready("a", "127.0.0.1")
	for i, ch := range replies {
		got := <-ch
		require.NoError(t, got.err)
		require.Equal(t, strconv.Itoa(i), got.body)
	}
	t.Logf("2000 released in %s", time.Since(begun))
}

func TestNoRequestOfAClientThatLeftIsExecuted(t *testing.T) {
	big := 10 << 20
	clients := map[string]int{"10 MB": 20, "10 MB in chunks": 20}
	if testing.Short() {
		clients = map[string]int{"10 MB": 3, "10 MB in chunks": 3}
	}
	chunked := func(n int) string {
		return "POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", n) + strings.Repeat("x", n) + "\r\n0\r\n\r\n"
	}
	sized := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n", n) + strings.Repeat("x", n)
	}
	for name, request := range map[string]string{
		"no body":               "GET / HTTP/1.1\r\nHost: m\r\n\r\n",
		"an empty body":         sized(0),
		"512 B":                 sized(512),
		"100 KB":                sized(100 << 10),
		"100 KB in chunks":      chunked(100 << 10),
		"1 MB":                  sized(1 << 20),
		"10 MB":                 sized(big),
		"10 MB in chunks":       chunked(big),
		"expecting to be asked": "POST / HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 512\r\n\r\n" + strings.Repeat("x", 512),
		"half of the body":      sized(100 << 10)[:50<<10],
		"none of the body":      "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 512\r\n\r\n",
	} {
		n := clients[name]
		if n == 0 {
			n = 200
		}
		for _, when := range []string{"while held", "just before the release"} {
			t.Run(name+", "+when, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.Queue.MaxBytes = resource.MustParse("512Mi") })
				var executed atomic.Int64
				r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) { executed.Add(1); _, _ = io.Copy(io.Discard, q.Body) }), nil)
				var wg sync.WaitGroup
				held := make(chan struct{})
				for range n {
					wg.Go(func() {
						conn, _ := raw(t, r.addr(), request)
						<-held
						conn.Close()
					})
				}
				r.waiting(int64(n))
				close(held)
				wg.Wait()
				if when == "while held" {
					r.waiting(0)
				}
				r.ready("a", "127.0.0.1")
				r.waiting(0)
				// One who stays is served, and after it nobody else can come.
				require.Equal(t, 200, fetch(client(t, false), http.MethodPost, r.url("/"), "still here").code)
				require.EqualValues(t, 1, executed.Load())
				require.EqualValues(t, n, r.stats().Abandoned)
				require.Eventually(t, func() bool {
					return r.s.bytes.Used() == 0 && r.s.spool.Used() == 0 && r.s.requests.Used() == 0
				}, 5*time.Second, time.Millisecond, "all is given back")
			})
		}
	}
}

func TestBodiesOfAnySizeSurviveAHold(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for name, size := range map[string]int{"none": 0, "small": 100, "beyond the memory": 3 << 20, "beyond the spool": 9 << 20} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", name, h2), func(t *testing.T) {
				r := newRig(t, func(c *Config) {
					c.Queue.MaxSpool = resource.MustParse("4Mi")
					c.Queue.MaxSpoolTotal = resource.MustParse("8Mi")
				})
				r.serve(backend(t, echo), nil)
				body := strings.Repeat("0123456789", size/10)
				got := send(client(t, h2), http.MethodPost, r.url("/"), body)
				r.waiting(1)
				r.ready("a", "127.0.0.1")
				answer := <-got
				require.NoError(t, answer.err)
				require.Equal(t, 200, answer.code)
				require.True(t, body == answer.body)
			})
		}
	}
}

func TestWhatIsBeyondTheBoundsIsAnsweredAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) {
		s.Queue.MaxRequests = 2
		s.Queue.MaxBytes = resource.NewQuantity(20_000, resource.BinarySI)
	})
	c := client(t, false)
	a := send(c, http.MethodGet, r.url("/"), "")
	r.waiting(1)
	large := fetch(c, http.MethodPost, r.url("/"), strings.Repeat("x", 30_000))
	require.Equal(t, 503, large.code)
	require.Equal(t, "QueueFull", large.header.Get("Rawserve-Reason"))
	r.waiting(1)
	b := send(c, http.MethodGet, r.url("/"), "")
	r.waiting(2)
	third := fetch(c, http.MethodGet, r.url("/"), "")
	require.Equal(t, 503, third.code)
	require.Equal(t, "QueueFull", third.header.Get("Rawserve-Reason"))
	require.Equal(t, "10", third.header.Get("Retry-After"))
	require.Contains(t, third.body, `"error"`)
	r.stop()
	require.Equal(t, "Draining", (<-a).header.Get("Rawserve-Reason"))
	require.Equal(t, "Draining", (<-b).header.Get("Rawserve-Reason"))
}

func TestAHoldEndsWithTheQueueTimeout(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) {
		s.Timeouts.Queue = metav1.Duration{Duration: 50 * time.Millisecond}
	})
	got := fetch(client(t, false), http.MethodPost, r.url("/"), "x")
	require.Equal(t, 504, got.code)
	require.Equal(t, "QueueTimeout", got.header.Get("Rawserve-Reason"))
	r.waiting(0)
}

func TestARequestWithoutAReplicaByTheDeadlineIsToldWhy(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) {
		s.Targets[0].ProgressDeadline = metav1.Duration{Duration: 100 * time.Millisecond}
	})
	pod := podOf("a", "", false)
	pod.Status.Phase = corev1.PodPending
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "kserve-container", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"},
	}}}
	r.s.podChanged(nil, pod)
	c := client(t, false)
	for _, what := range []string{"held", "at once"} {
		got := fetch(c, http.MethodPost, r.url("/"), "x")
		require.Equal(t, 503, got.code, what)
		require.Equal(t, "StartFailed", got.header.Get("Rawserve-Reason"), what)
		require.Contains(t, got.body, "ImagePullBackOff", what)
		require.Contains(t, got.body, "no such image", what)
	}
	// The image comes after all.
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	r.s.podChanged(pod, podOf("a", "127.0.0.1", true))
	require.Eventually(t, func() bool {
		return fetch(c, http.MethodPost, r.url("/"), "x").code == 200
	}, 5*time.Second, 10*time.Millisecond)
}

func TestAStoppedComponentStartsNothing(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	held := send(client(t, false), http.MethodGet, r.url("/"), "")
	<-r.scales.raised
	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Stopped = true })
	for _, got := range []reply{<-held, fetch(client(t, false), http.MethodGet, r.url("/"), "")} {
		require.Equal(t, 503, got.code)
		require.Equal(t, "Stopped", got.header.Get("Rawserve-Reason"))
	}
	require.Len(t, r.scales.written(), 1)
}

func TestHeldRequestsFollowTheRouteToAnotherRevision(t *testing.T) {
	r := newRig(t, nil)
	target := backend(t, func(http.ResponseWriter, *http.Request) {})
	r.serve(target, nil)
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.serve(target, func(s *v1alpha1.InferenceRouteSpec) {
		s.Targets[0].Revision = "iris-predictor-00002"
		s.Targets[0].PodSelector = map[string]string{"rawserve.dev/revision": "iris-predictor-00002"}
	})
	pod := podOf("b", "127.0.0.1", true)
	pod.Labels["rawserve.dev/revision"] = "iris-predictor-00002"
	r.s.podChanged(nil, pod)
	require.Equal(t, 200, (<-held).code)
}

func TestADeletedRouteIsServedALittleLonger(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	r.ready("a", "127.0.0.1")
	c := client(t, false)
	now := time.Now()
	r.s.applyRoutes(nil, now)
	got := fetch(c, http.MethodGet, r.url("/"), "")
	require.Equal(t, 200, got.code)
	r.s.applyRoutes(nil, now.Add(lingering+time.Second))
	require.Error(t, fetch(c, http.MethodGet, r.url("/"), "").err)
	require.Empty(t, r.s.Stats().Routes)
	require.Empty(t, r.s.routes)
	require.Empty(t, r.s.index.targets)
}

func TestAHeldRequestOfADeletedRouteIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	now := time.Now()
	r.s.applyRoutes(nil, now)
	r.s.applyRoutes(nil, now.Add(lingering+time.Second))
	got := <-held
	require.Equal(t, "Stopped", got.header.Get("Rawserve-Reason"))
}

func TestATakenPortIsSaidInTheAcknowledgement(t *testing.T) {
	r := newRig(t, nil)
	_, taken := backendOn(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) {})
	r.port = taken
	acks := r.serve(1, nil)
	key := types.NamespacedName{Namespace: "models", Name: "iris-predictor"}
	require.Contains(t, acks[key].message, "Cannot listen on port "+strconv.Itoa(taken))
	require.EqualValues(t, 1, acks[key].generation)
}
