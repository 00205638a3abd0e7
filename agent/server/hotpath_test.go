package server

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/hotpathtest"
)

func hotPath(t testing.TB, limit, body int) *hotpathtest.Path {
	r := newRig(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(hotpathtest.Server(t))), func(c *Config) { c.ContainerConcurrency = limit })
	_, port, err := net.SplitHostPort(r.addr)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return hotpathtest.New(t, r.s, n, body)
}

// BenchmarkHotPath is the agent's handler without Go's server around it: the limit,
// what is counted, and the exchange with the model server.
func BenchmarkHotPath(b *testing.B) {
	for name, body := range map[string]int{"GET": 0, "POST 1 KB": 1 << 10} {
		b.Run(name, func(b *testing.B) {
			path := hotPath(b, 0, body)
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
		limit, body int
		most        float64
	}{
		"GET":                    {0, 0, 17},
		"GET with a limit":       {10, 0, 17},
		"POST 1 KB":              {0, 1 << 10, 20},
		"POST 1 KB with a limit": {10, 1 << 10, 20},
	} {
		t.Run(name, func(t *testing.T) {
			path := hotPath(t, c.limit, c.body)
			require.LessOrEqual(t, testing.AllocsPerRun(200, path.Call), c.most)
		})
	}
}
