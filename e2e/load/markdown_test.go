package load

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what is printed to testdata")

func TestTheTablesReadAsTheyShould(t *testing.T) {
	sample := func(requests int64, p50, cpu time.Duration, peak int64) Sample {
		return Sample{Requests: requests, Elapsed: time.Second, P50: p50, P99: 10 * p50, CPU: cpu, Peak: peak}
	}
	failing := sample(12000, 900*time.Microsecond, 800*time.Millisecond, 37e6)
	failing.Errors, failing.FirstError = 3, `the answer is "HTTP/1.1 503 Service Unavailable"`
	r := Run{
		Machine:  Machine{CPU: "a processor", Cores: 2, Go: "go1.26.8", Commit: "0123456", LoadBefore: 0.4, LoadAfter: 2.1},
		Rounds:   1,
		Duration: time.Second,
		Missing:  map[Hop]string{KnativeQueue: "It cannot be built: no network."},
		Idle:     map[Hop]int64{GoProxy: 6e6, Agent: 8e6, Activator: 30e6},
		Series: []Series{
			{Cell: Cell{Protocol: HTTP1, Clients: 1, KeepAlive: true}, Samples: map[Hop][]Sample{
				Direct:  {sample(22000, 40*time.Microsecond, 0, 0)},
				GoProxy: {sample(4000, 240*time.Microsecond, 600*time.Millisecond, 14e6)},
				Agent:   {sample(5000, 160*time.Microsecond, 450*time.Millisecond, 15e6)},
			}},
			{Cell: Cell{Protocol: HTTP1, Clients: 32, KeepAlive: true}, Samples: map[Hop][]Sample{
				GoProxy:   {sample(10000, time.Millisecond, 700*time.Millisecond, 15e6)},
				Activator: {failing},
			}},
			{Cell: Cell{Protocol: Events, Clients: 8, KeepAlive: true}, Samples: map[Hop][]Sample{
				Direct: {sample(800, 70*time.Microsecond, 0, 0)},
				Agent:  {sample(800, 170*time.Microsecond, 24*time.Millisecond, 15e6)},
			}},
		},
	}
	var b bytes.Buffer
	r.Markdown(&b)
	const golden = "testdata/tables.md"
	if *update {
		require.NoError(t, os.WriteFile(golden, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestThousandsAreSetApart(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 999.4: "999", 999.5: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, thousands(x))
	}
}
