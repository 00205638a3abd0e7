package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// several is a rig with one route for each namespace and name, all to the same server.
type several struct {
	*rig
	routes map[string]*v1alpha1.InferenceRoute
}

func serveSeveral(t *testing.T, r *rig, targetPort int, keys ...string) several {
	s := several{r, map[string]*v1alpha1.InferenceRoute{}}
	var all []*v1alpha1.InferenceRoute
	for _, key := range keys {
		namespace, name, _ := strings.Cut(key, "/")
		o := &v1alpha1.InferenceRoute{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(key), Generation: 1},
			Spec: v1alpha1.InferenceRouteSpec{
				ServiceName: name,
				Ports:       []v1alpha1.RoutePort{{ServicePort: 80, TargetPort: int32(targetPort), ListenPort: int32(freePort(t))}},
				Targets: []v1alpha1.RouteTarget{{
					Revision: name, DeploymentName: name, Weight: 100, PodSelector: map[string]string{"rawserve.dev/revision": name},
				}},
			},
		}
		s.routes[key] = o
		all = append(all, o)
	}
	r.s.applyRoutes(all, time.Now())
	return s
}

func (s several) url(key string) string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.routes[key].Spec.Ports[0].ListenPort))) + "/"
}

func (s several) ready(key string) {
	p := podOf(s.routes[key].Name, "127.0.0.1", true)
	p.Namespace, p.Labels = s.routes[key].Namespace, map[string]string{"rawserve.dev/revision": s.routes[key].Name}
	s.s.podChanged(nil, p)
}

// tally counts answers by their status.
type tally struct {
	mu    sync.Mutex
	codes map[int]int
}

func (c *tally) add(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes == nil {
		c.codes = map[int]int{}
	}
	c.codes[code]++
}

func (c *tally) of(code int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codes[code]
}

// floodOf90 is what one route gets of 90 while nobody else wants any: 64/73. Requests
// that come in the same moment may be refused for each other, so that it may be less.
const floodOf90 = 79

// TestQuietRoutesAreServedWhileAnotherFloods has one route at zero take all that it
// gets, and a quiet one of its namespace and of another want some.
func TestQuietRoutesAreServedWhileAnotherFloods(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Queue.MaxRequests, c.Queue.MaxRequestsTotal = 90, 90 })
	s := serveSeveral(t, r, backend(t, echo), "loud/flood", "loud/quiet", "calm/quiet")
	var flooded tally
	var flood sync.WaitGroup
	c := client(t, false)
	const sent = 200
	for range sent {
		flood.Go(func() { flooded.add(fetch(c, http.MethodPost, s.url("loud/flood"), "x").code) })
	}
	require.Eventually(t, func() bool { return flooded.of(429)+int(r.s.requests.Used()) == sent }, 30*time.Second, time.Millisecond,
		"what is beyond the route's share is told so at once")
	held := int(r.s.requests.Used())
	require.LessOrEqual(t, held, floodOf90)
	require.Greater(t, held, floodOf90/2)
	var replies []<-chan reply
	for _, key := range []string{"loud/quiet", "calm/quiet"} {
		replies = append(replies, send(c, http.MethodPost, s.url(key), key))
	}
	require.Eventually(t, func() bool { return int(r.s.requests.Used()) == held+2 }, 30*time.Second, time.Millisecond)
	for key := range s.routes {
		s.ready(key)
	}
	for _, ch := range replies {
		require.Equal(t, 200, (<-ch).code)
	}
	flood.Wait()
	require.Equal(t, held, flooded.of(200))
}

// TestQuietRoutesAreServedWhileAnotherIsFullOfSlowRequests is the same for requests
// that are not held: those of a model that hangs.
func TestQuietRoutesAreServedWhileAnotherIsFullOfSlowRequests(t *testing.T) {
	leave := make(chan struct{})
	hanging := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-leave:
		case <-r.Context().Done():
		}
	})
	r := newRig(t, func(c *Config) { c.Limits.MaxRequests = 90 })
	s := serveSeveral(t, r, backend(t, echo), "a/flood", "a/quiet", "b/quiet")
	s.routes["a/flood"].Spec.Ports[0].TargetPort = int32(hanging)
	s.routes["a/flood"].Generation++
	r.s.applyRoutes([]*v1alpha1.InferenceRoute{s.routes["a/flood"], s.routes["a/quiet"], s.routes["b/quiet"]}, time.Now())
	for key := range s.routes {
		s.ready(key)
	}
	var flooded tally
	var flood sync.WaitGroup
	c := client(t, false)
	for range 150 {
		flood.Go(func() { flooded.add(fetch(c, http.MethodGet, s.url("a/flood"), "").code) })
	}
	require.Eventually(t, func() bool { return flooded.of(429)+int(r.s.inside.Used()) == 150 }, 30*time.Second, time.Millisecond)
	inside := int(r.s.inside.Used())
	require.LessOrEqual(t, inside, floodOf90)
	for range 20 {
		for _, key := range []string{"a/quiet", "b/quiet"} {
			require.Equal(t, 200, fetch(c, http.MethodPost, s.url(key), "x").code)
		}
	}
	close(leave)
	flood.Wait()
	require.Equal(t, inside, flooded.of(200))
}

// from is a client whose connections come from another address of loopback.
func from(t *testing.T, ip string) *http.Client {
	c := client(t, false)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}
	return c
}

// TestAQuietClientIsServedWhileAnotherFloodsTheSameRoute fills a route's queue from
// one address and then sends from another.
func TestAQuietClientIsServedWhileAnotherFloodsTheSameRoute(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), func(s *v1alpha1.InferenceRouteSpec) { s.Queue.MaxRequests = 10 })
	loud, quiet := from(t, "127.0.1.2"), from(t, "127.0.1.3")
	var flooded tally
	var flood sync.WaitGroup
	for range 30 {
		flood.Go(func() { flooded.add(fetch(loud, http.MethodPost, r.url("/"), "x").code) })
	}
	require.Eventually(t, func() bool { return flooded.of(503) == 20 }, 30*time.Second, time.Millisecond, "the queue is full, and nobody else is there")
	var replies []<-chan reply
	for i := range 3 {
		replies = append(replies, send(quiet, http.MethodPost, r.url("/"), "x"))
		require.Eventually(t, func() bool { return flooded.of(429) == i+1 }, 30*time.Second, time.Millisecond, "it makes room")
	}
	again := fetch(loud, http.MethodPost, r.url("/"), "x")
	require.Equal(t, 429, again.code)
	require.Equal(t, "ShareExceeded", again.header.Get("Rawserve-Reason"))
	require.NotEmpty(t, again.header.Get("Retry-After"))
	r.ready("a", "127.0.0.1")
	for _, ch := range replies {
		require.Equal(t, 200, (<-ch).code)
	}
	flood.Wait()
	require.Equal(t, 7, flooded.of(200))
	require.Zero(t, r.s.requests.Used())
}

// TestUrgentRequestsComeFirstAndTheOthersMakeRoom has a route that names a header.
func TestUrgentRequestsComeFirstAndTheOthersMakeRoom(t *testing.T) {
	r := newRig(t, nil)
	var mu sync.Mutex
	var order []string
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, q.URL.Path)
	}), func(s *v1alpha1.InferenceRouteSpec) {
		s.ContainerConcurrency = 1
		s.Queue.MaxRequests = 4
		s.Queue.Priority = &v1alpha1.RoutePriority{Header: "X-Priority", High: []string{"gold"}, Low: []string{"batch"}}
	})
	c := client(t, false)
	ask := func(path, priority string) <-chan reply {
		out := make(chan reply, 1)
		go func() {
			req, err := http.NewRequest(http.MethodGet, r.url(path), nil)
			if err != nil {
				out <- reply{err: err}
				return
			}
			req.Header.Set("X-Priority", priority)
			res, err := c.Do(req)
			if err != nil {
				out <- reply{err: err}
				return
			}
			res.Body.Close()
			out <- reply{code: res.StatusCode, header: res.Header}
		}()
		return out
	}
	var replies []<-chan reply
	for i, one := range [][2]string{{"/low1", "batch"}, {"/normal1", "silver"}, {"/low2", "Batch"}, {"/high1", "gold"}} {
		replies = append(replies, ask(one[0], one[1]))
		r.waiting(int64(i + 1))
	}
	last := ask("/high2", "GOLD")
	require.Equal(t, 429, (<-replies[2]).code, "the latest of the least urgent makes room")
	require.Equal(t, 503, (<-ask("/low3", "batch")).code)
	r.waiting(4)
	r.ready("a", "127.0.0.1")
	for _, ch := range []<-chan reply{replies[0], replies[1], replies[3], last} {
		require.Equal(t, 200, (<-ch).code)
	}
	require.Equal(t, []string{"/high1", "/high2", "/normal1", "/low1"}, order)
}

// TestNobodyWorksForAClientWhoseTimeIsOver gives the time in each of the ways.
func TestNobodyWorksForAClientWhoseTimeIsOver(t *testing.T) {
	for name, field := range map[string][2]string{
		"gRPC":  {"Grpc-Timeout", "80m"},
		"Envoy": {"X-Envoy-Expected-Rq-Timeout-Ms", "80"},
		"own":   {"Rawserve-Timeout", "80ms"},
	} {
		t.Run(name, func(t *testing.T) {
			var came atomic.Int64
			left := make(chan struct{}, 1)
			r := newRig(t, nil)
			r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
				came.Add(1)
				<-q.Context().Done()
				left <- struct{}{}
			}), nil)
			ask := func() reply {
				req, err := http.NewRequest(http.MethodGet, r.url("/"), nil)
				require.NoError(t, err)
				req.Header.Set(field[0], field[1])
				res, err := client(t, false).Do(req)
				require.NoError(t, err)
				res.Body.Close()
				return reply{code: res.StatusCode, header: res.Header}
			}
			got := ask()
			require.Equal(t, 504, got.code)
			require.Equal(t, "DeadlineExceeded", got.header.Get("Rawserve-Reason"))
			r.ready("a", "127.0.0.1")
			require.Zero(t, came.Load(), "it was not executed")
			got = ask()
			require.Equal(t, 504, got.code)
			require.Equal(t, "DeadlineExceeded", got.header.Get("Rawserve-Reason"))
			<-left // the pod has been told
		})
	}
}

func TestWhatIsPassedOnIsTheTimeThatIsLeft(t *testing.T) {
	r := newRig(t, nil)
	got := make(chan string, 1)
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) { got <- q.Header.Get("Rawserve-Timeout") }), nil)
	ask := func() {
		req, err := http.NewRequest(http.MethodGet, r.url("/"), nil)
		require.NoError(t, err)
		req.Header.Set("Rawserve-Timeout", "20s")
		res, err := client(t, false).Do(req)
		require.NoError(t, err)
		res.Body.Close()
	}
	asked := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask()
	}()
	r.waiting(1)
	time.AfterFunc(50*time.Millisecond, func() { r.ready("a", "127.0.0.1") })
	left, err := time.ParseDuration(<-got)
	<-done
	require.NoError(t, err)
	require.Less(t, left, 20*time.Second-50*time.Millisecond)
	require.Greater(t, left, 20*time.Second-time.Since(asked))
	ask()
	require.Equal(t, "20s", <-got, "nothing is changed of a request that was not held")
}

// TestAQuietClientIsServedWhileAnotherFillsTheRoute has one client of a route take
// all that it gets of each thing that is shared, and another want some.
func TestAQuietClientIsServedWhileAnotherFillsTheRoute(t *testing.T) {
	const limit = 90
	for name, change := range map[string]func(*Config){
		"with slow requests": func(c *Config) { c.Limits.MaxRequests = limit },
		"with their memory": func(c *Config) {
			c.Limits.MaxMemory = *resource.NewQuantity(limit*(requestCost+1000), resource.BinarySI)
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			leave := sync.OnceFunc(func() { close(left) })
			defer leave()
			r := newRig(t, change)
			r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
				if q.URL.Path == "/slow" {
					<-left
				}
			}), nil)
			r.ready("a", "127.0.0.1")
			loud, quiet := from(t, "127.0.1.2"), from(t, "127.0.1.3")
			var flooded tally
			var flood sync.WaitGroup
			const sent = limit + 100
			for range sent {
				flood.Go(func() { flooded.add(fetch(loud, http.MethodGet, r.url("/slow"), "").code) })
			}
			require.Eventually(t, func() bool { return flooded.of(429)+int(r.s.inside.Used()) == sent }, 30*time.Second, time.Millisecond)
			require.Greater(t, int(r.s.inside.Used()), limit*3/4, "alone it has nearly all")
			for range 20 {
				require.Equal(t, 200, fetch(quiet, http.MethodGet, r.url("/"), "").code)
			}
			leave()
			flood.Wait()
		})
	}
}

// TestAQuietClientsBodyIsHeldWhileAnothersTakeAllTheyGet fills the memory for bodies
// long before the queue.
func TestAQuietClientsBodyIsHeldWhileAnothersTakeAllTheyGet(t *testing.T) {
	const each = 10_000
	r := newRig(t, func(c *Config) {
		c.Queue.MaxBytesTotal = resource.MustParse("1Mi")
		c.Queue.MaxBytes = resource.MustParse("1Mi")
	})
	r.serve(backend(t, echo), nil)
	loud, quiet := from(t, "127.0.1.2"), from(t, "127.0.1.3")
	var flooded tally
	var flood sync.WaitGroup
	const sent = 150
	for range sent {
		flood.Go(func() { flooded.add(fetch(loud, http.MethodPost, r.url("/"), strings.Repeat("x", each)).code) })
	}
	// Those that come in the same moment may be in each other's way, which looks as if
	// there were no more for anybody.
	require.Eventually(t, func() bool {
		n := r.s.requests.Used()
		return flooded.of(429)+flooded.of(503)+int(n) == sent && flooded.of(429) > 0 && r.s.bytes.Used() == n*(each+1)
	}, 30*time.Second, time.Millisecond, "each is either refused or held with its whole body")
	held := r.s.requests.Used()
	require.Greater(t, held, int64(40), "alone it has most")
	var replies []<-chan reply
	for i := range int64(3) {
		replies = append(replies, send(quiet, http.MethodPost, r.url("/"), "small"))
		r.waiting(held + i + 1)
	}
	r.ready("a", "127.0.0.1")
	for _, ch := range replies {
		require.Equal(t, "small", (<-ch).body)
	}
	flood.Wait()
	require.EqualValues(t, held, flooded.of(200))
	require.Eventually(t, func() bool { return r.s.bytes.Used() == 0 }, 10*time.Second, time.Millisecond)
}

// TestAQuietClientConnectsWhileAnotherHasAllTheConnectionsItGets opens connections
// from one address until it is told that there are no more for it.
func TestAQuietClientConnectsWhileAnotherHasAllTheConnectionsItGets(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.MaxConnections = 90 })
	r.serve(backend(t, echo), nil)
	r.ready("a", "127.0.0.1")
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	for refused := false; !refused; {
		require.Less(t, len(open), 90)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.1.2")}}
		conn, err := d.Dial("tcp", r.addr())
		require.NoError(t, err)
		open = append(open, conn)
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: m\r\n\r\n")
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		res.Body.Close()
		refused = res.StatusCode == 429
	}
	require.Greater(t, len(open), 70)
	require.Equal(t, 200, fetch(from(t, "127.0.1.3"), http.MethodPost, r.url("/"), "x").code)
	rt := r.s.find(types.NamespacedName{Namespace: "models", Name: "iris-predictor"})
	for _, conn := range open {
		conn.Close()
	}
	require.Eventually(t, func() bool {
		rt.clients.mu.Lock()
		defer rt.clients.mu.Unlock()
		return len(rt.clients.parts) <= 1 && r.s.conns.Used() <= 1
	}, 10*time.Second, time.Millisecond, "nothing is kept of clients that have gone")
}

// TestRetryAfterOfAFullQueueIsNotThatOfAStart has a start that takes a while, and then
// a queue behind the pod that has come of it.
func TestRetryAfterOfAFullQueueIsNotThatOfAStart(t *testing.T) {
	leave := make(chan struct{})
	done := sync.OnceFunc(func() { close(leave) })
	defer done()
	r := newRig(t, nil)
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-leave:
		case <-q.Context().Done():
		}
	}), func(s *v1alpha1.InferenceRouteSpec) { s.ContainerConcurrency, s.Queue.MaxRequests = 1, 1 })
	c := client(t, false)
	first := send(c, http.MethodGet, r.url("/"), "")
	r.waiting(1)
	time.AfterFunc(1500*time.Millisecond, func() { r.ready("a", "127.0.0.1") }) // a start that is to be told from a second
	r.waiting(0)
	second := send(c, http.MethodGet, r.url("/"), "")
	r.waiting(1)
	full := fetch(c, http.MethodGet, r.url("/"), "")
	require.Equal(t, 503, full.code)
	require.Equal(t, "1", full.header.Get("Retry-After"))
	done()
	require.Equal(t, 200, (<-first).code)
	require.Equal(t, 200, (<-second).code)
}
