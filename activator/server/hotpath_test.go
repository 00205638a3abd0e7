package server

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/hotpathtest"
)

func hotPath(t testing.TB, body int) *hotpathtest.Path {
	r := newRig(t, nil)
	r.serve(hotpathtest.Server(t), nil)
	r.ready("a", "127.0.0.1")
	return hotpathtest.New(t, r.s.http.Handler, r.port, body)
}

// BenchmarkHotPath is the activator's handler without Go's server around it: the
// limits, the choice of target and pod, what is counted, and the exchange with a pod.
func BenchmarkHotPath(b *testing.B) {
	for name, body := range map[string]int{"GET": 0, "POST 1 KB": 1 << 10} {
		b.Run(name, func(b *testing.B) {
			path := hotPath(b, body)
			b.ReportAllocs()
			for b.Loop() {
				path.Call()
			}
		})
	}
}

// Allocations are a part of a request's cost that can be counted on a busy machine.
// There is one to spare over those of today, for what grows now and then.
func TestARequestAllocatesNoMoreThanItDid(t *testing.T) {
	for name, c := range map[string]struct {
		body int
		most float64
	}{
		"GET":       {0, 20},
		"POST 1 KB": {1 << 10, 23},
	} {
		t.Run(name, func(t *testing.T) {
			path := hotPath(t, c.body)
			require.LessOrEqual(t, testing.AllocsPerRun(200, path.Call), c.most)
		})
	}
}
