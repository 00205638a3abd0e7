package server

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestASlowPodGetsProportionallyLess has four pods, one of which takes 25 times
// as long as the others, under constant load of sixteen clients. The machine may be
// busy, and add to the times of all.
func TestASlowPodGetsProportionallyLess(t *testing.T) {
	const pods, slow, clients, requests = 4, 2, 16, 1000
	var got [pods]atomic.Int64
	answer := func(i int) http.HandlerFunc {
		took := 4 * time.Millisecond
		if i == slow {
			took *= 25
		}
		return func(_ http.ResponseWriter, r *http.Request) {
			got[i].Add(1)
			work := time.NewTimer(took) // stands for the model
			defer work.Stop()
			select {
			case <-work.C:
			case <-r.Context().Done():
			}
		}
	}
	_, port := backendOn(t, "127.0.0.1:0", answer(0))
	r := newRig(t, nil)
	r.serve(port, nil)
	r.ready("a", "127.0.0.1")
	for i := 1; i < pods; i++ {
		ip := "127.0.0." + strconv.Itoa(1+i)
		backendOn(t, net.JoinHostPort(ip, strconv.Itoa(port)), answer(i))
		r.ready(string(rune('a'+i)), ip)
	}
	c := client(t, false)
	var left atomic.Int64
	left.Store(requests)
	var sending sync.WaitGroup
	for range clients {
		sending.Go(func() {
			for left.Add(-1) >= 0 {
				if res := fetch(c, http.MethodPost, r.url("/"), "x"); res.code != http.StatusOK {
					t.Errorf("%+v", res)
				}
			}
		})
	}
	sending.Wait()
	total := int64(0)
	for i := range got {
		t.Logf("pod %d: %d", i, got[i].Load())
		total += got[i].Load()
	}
	require.EqualValues(t, requests, total)
	// In proportion to its speed it would get 1/76 of all, 13; dealt out evenly 250.
	require.Less(t, got[slow].Load(), int64(requests/6))
	for i := range got {
		if i != slow {
			require.Greater(t, got[i].Load(), int64(requests/5), "pod %d", i)
		}
	}
}
