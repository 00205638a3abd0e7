package server

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// slowBody is the length of a slow uploader's body, more than a test lasts at
// its pace.
const slowBody = 100_000

// slowUploader sends a request whose body comes in byte by byte, each sooner than
// a client counts as silent, until the test ends.
func slowUploader(t *testing.T, addr, path string) {
	conn, _ := raw(t, addr, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\nslow", path, slowBody))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		line := time.NewTicker(20 * time.Millisecond) // stands for a slow line
		defer line.Stop()
		for {
			select {
			case <-stop:
				return
			case <-line.C:
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		conn.Close()
		<-ended
	})
}

func TestSlowUploadersHoldUpNobody(t *testing.T) {
	for name, limit := range map[string]int64{"no limit": 0, "one request at a time": 1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, echo), func(s *v1alpha1.InferenceRouteSpec) { s.ContainerConcurrency = limit })
			// More than the window of a new pod, and than it ever grows to.
			const slow = 20
			for i := range slow {
				slowUploader(t, r.addr(), "/slow")
				r.waiting(int64(i + 1))
			}
			c := client(t, false)
			c.Timeout = 10 * time.Second
			var quick []<-chan reply
			for i := range 3 {
				quick = append(quick, send(c, http.MethodPost, r.url("/"), "quick"))
				r.waiting(int64(slow + i + 1))
			}
			begun := time.Now()
			r.ready("a", "127.0.0.1")
			for _, ch := range quick {
				got := <-ch
				require.NoError(t, got.err)
				require.Equal(t, "quick", got.body)
			}
			t.Logf("answered %s after the pod was ready", time.Since(begun))
		})
	}
}

func TestASlowBodyIsStreamedAfterAWhile(t *testing.T) {
	r := newRig(t, nil)
	entered := make(chan string, 1)
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		begin := make([]byte, 4)
		_, _ = io.ReadFull(q.Body, begin)
		entered <- string(begin)
	}), nil)
	slowUploader(t, r.addr(), "/slow")
	r.waiting(1)
	r.ready("a", "127.0.0.1")
	select {
	case begin := <-entered:
		require.Equal(t, "slow", begin)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "a body that goes on and on is waited for without end")
	}
}

// TestWholeRequestsKeepTheirOrderAmongSlowOnes also has the slow one, once it is
// whole, keep the place that its arrival gave it.
func TestWholeRequestsKeepTheirOrderAmongSlowOnes(t *testing.T) {
	r := newRig(t, nil)
	var mu sync.Mutex
	var order []string
	first, goOn := make(chan struct{}), make(chan struct{})
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		order = append(order, q.URL.Path)
		n := len(order)
		mu.Unlock()
		if n == 1 {
			close(first)
			<-goOn
		}
	}), func(s *v1alpha1.InferenceRouteSpec) { s.ContainerConcurrency = 1 })
	c := client(t, false)
	conn, in := raw(t, r.addr(), "POST /slow HTTP/1.1\r\nHost: m\r\nContent-Length: 10\r\n\r\nhalf ")
	defer conn.Close()
	r.waiting(1)
	want := []string{"/0", "/slow"}
	var replies []<-chan reply
	for i := range 20 {
		path := "/" + strconv.Itoa(i)
		if i > 0 {
			want = append(want, path)
		}
		replies = append(replies, send(c, http.MethodPost, r.url(path), "x"))
		r.waiting(int64(i + 2))
	}
	r.ready("a", "127.0.0.1")
	<-first
	// The first that is whole works; the slow one becomes whole meanwhile.
	_, err := io.WriteString(conn, "other")
	require.NoError(t, err)
	target := (*r.s.routeList.Load())[0].plan.Load().targets[0]
	require.Eventually(t, func() bool {
		waiting, _ := target.pool.Waiting()
		return waiting == 20
	}, 10*time.Second, time.Millisecond, "it is back in the queue")
	close(goOn)
	for _, ch := range replies {
		require.Equal(t, 200, (<-ch).code)
	}
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(line, "HTTP/1.1 200"), line)
	require.Equal(t, want, order)
}
