package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	agentserver "github.com/rawserve/rawserve/agent/server"
)

// plainProxy is the standard library's proxy with a large idle pool and pooled
// buffers: what one would write without us.
func plainProxy(b *testing.B, target string) string {
	u, err := url.Parse("http://" + target)
	require.NoError(b, err)
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() },
		Transport:  &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true},
		BufferPool: bufferPool{},
	}
	return serveOn(b, proxy)
}

type bufferPool struct{}

var proxyBuffers = sync.Pool{New: func() any { return make([]byte, 32<<10) }}

func (bufferPool) Get() []byte  { return proxyBuffers.Get().([]byte) }
func (bufferPool) Put(b []byte) { proxyBuffers.Put(b) } //nolint:staticcheck // the standard library's interface wants a slice

func serveOn(b *testing.B, h http.Handler) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { srv.Close() })
	return ln.Addr().String()
}

func agentInFront(b *testing.B, serverPort int) string {
	config := agentserver.Default()
	port := freePort(b)
	config.Forwards = agentserver.Forwards{{Listen: port, Server: serverPort}}
	s, err := agentserver.New(config, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	require.NoError(b, s.Listen(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(ctx)
	}()
	b.Cleanup(func() {
		stop()
		<-ended
	})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// BenchmarkHop compares going direct with one hop through Go's own proxy, the
// activator and the agent. Run it with -benchtime=3s and compare within one run.
func BenchmarkHop(b *testing.B) {
	port := backend(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	direct := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	r := newRig(b, nil)
	r.serve(port, nil)
	r.ready("a", "127.0.0.1")
	for _, hop := range []struct{ name, addr string }{
		{"direct", direct}, {"plain proxy", plainProxy(b, direct)}, {"activator", r.addr()}, {"agent", agentInFront(b, port)},
	} {
		for _, clients := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/clients=%d", hop.name, clients), func(b *testing.B) { hammer(b, hop.addr, clients) })
		}
	}
}

// hammer sends b.N requests over as many connections as there are clients.
func hammer(b *testing.B, addr string, clients int) {
	request := []byte("GET /v1/models/iris HTTP/1.1\r\nHost: iris.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	took := make([][]time.Duration, clients)
	var wg sync.WaitGroup
	begun, cpu := time.Now(), cpuTime()
	for i := range clients {
		n := b.N / clients
		if i < b.N%clients {
			n++
		}
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			buf := make([]byte, 4096)
			all := make([]time.Duration, 0, n)
			for range n {
				at := time.Now()
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				// The response is one short write of the server's.
				m, err := conn.Read(buf)
				if err != nil || !strings.HasPrefix(string(buf[:m]), "HTTP/1.1 200") || buf[m-1] != 'k' {
					b.Errorf("%v %q", err, buf[:m])
					return
				}
				all = append(all, time.Since(at))
			}
			took[i] = all
		})
	}
	wg.Wait()
	elapsed := time.Since(begun)
	all := slices.Concat(took...)
	slices.Sort(all)
	// CPU time of client, hop and server together; less that of going direct it is
	// the hop's, and steadier than the rest on a machine that others use too.
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(len(all)), "cpu-µs")
	b.ReportMetric(float64(len(all))/elapsed.Seconds(), "rps")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRelease measures from a pod becoming ready to the last response.
func BenchmarkRelease(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("held=%d", n), func(b *testing.B) {
			var last []time.Duration
			var spent time.Duration
			for b.Loop() {
				r := newRig(b, nil)
				r.serve(backend(b, func(http.ResponseWriter, *http.Request) {}), nil)
				conns := holdRaw(b, r, n)
				done := make(chan struct{}, n)
				for _, c := range conns {
					go func() {
						_, _ = c.Read(make([]byte, 512))
						done <- struct{}{}
					}()
				}
				begun, cpu := time.Now(), cpuTime()
				r.ready("a", "127.0.0.1")
				for range n {
					<-done
				}
				last = append(last, time.Since(begun))
				spent += cpuTime() - cpu
				for _, c := range conns {
					c.Close()
				}
				r.stop()
				<-r.ended
			}
			slices.Sort(last)
			b.ReportMetric(float64(last[len(last)/2].Microseconds())/1000, "last-ms")
			b.ReportMetric(float64(spent.Microseconds())/1000/float64(len(last)), "cpu-ms")
		})
	}
}

// holdRaw has n requests held, from clients that take next to no memory.
func holdRaw(b *testing.B, r *rig, n int) []net.Conn {
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i], _ = raw(b, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 512\r\n\r\n"+strings.Repeat("x", 512))
	}
	r.waiting(int64(n))
	return conns
}

// BenchmarkHeldMemory reports the memory of one held request with a body of 512 B.
func BenchmarkHeldMemory(b *testing.B) {
	for b.Loop() {
		r := newRig(b, nil)
		r.serve(1, nil)
		const n = 5000
		before := memoryInUse()
		conns := holdRaw(b, r, n)
		require.Eventually(b, func() bool { return r.s.bytes.Used() == n*513 }, 10*time.Second, time.Millisecond)
		after := memoryInUse()
		b.ReportMetric(float64(after-before)/n/1024, "KiB/held")
		for _, c := range conns {
			c.Close()
		}
		r.waiting(0)
		r.stop()
		<-r.ended
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
