package server

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestHeldRequestsTakeLessThanTheyAreCountedWith holds ten thousand requests, or as
// many as this process may have connections for, both ends of each, and answers them
// all. What is counted of them is what keeps the activator within its memory.
func TestHeldRequestsTakeLessThanTheyAreCountedWith(t *testing.T) {
	var files unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
	n := min(10_000, int(files.Cur)/2-1000)
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	before := memoryInUse()
	conns := make([]net.Conn, n)
	in := make([]*bufio.Reader, n)
	for i := range conns {
		conns[i], in[i] = raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nhi")
		defer conns[i].Close()
	}
	r.waiting(int64(n))
	took := int64(memoryInUse() - before)
	t.Logf("%d held: %d KiB for each, their clients' ends included; counted with %d", n, took/int64(n)>>10, r.s.memory.Used()/int64(n)>>10)
	require.Less(t, took, r.s.memory.Used())
	require.Less(t, r.s.memory.Used(), r.s.config.Limits.MaxMemory.Value())

	begun := time.Now()
	r.ready("a", "127.0.0.1")
	var reading sync.WaitGroup
	for i := range conns {
		reading.Go(func() {
			_ = conns[i].SetReadDeadline(time.Now().Add(2 * time.Minute))
			res, err := http.ReadResponse(in[i], nil)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("request %d: %v %v", i, res, err)
			}
		})
	}
	reading.Wait()
	t.Logf("released in %s", time.Since(begun))
	require.Zero(t, r.s.requests.Used())
}
