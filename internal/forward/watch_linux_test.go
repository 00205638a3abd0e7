package forward

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// machine is a network namespace of a thread of its own.
type machine struct{ work chan func() }

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{work: make(chan func())}
	begun := make(chan error)
	go func() {
		// The thread is not unlocked, so that it ends with the goroutine, and the
		// namespace with it.
		runtime.LockOSThread()
		begun <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range m.work {
			f()
		}
	}()
	require.NoError(t, <-begun)
	t.Cleanup(func() { close(m.work) })
	m.run(t, "ip", "link", "set", "lo", "up")
	return m
}

// do runs f in the namespace.
func (m *machine) do(f func()) {
	done := make(chan struct{})
	m.work <- func() { defer close(done); f() }
	<-done
}

func (m *machine) run(t *testing.T, command ...string) {
	t.Helper()
	var out []byte
	var err error
	m.do(func() { out, err = exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput() })
	require.NoError(t, err, "%v: %s", command, out)
}

// twoMachines are joined by a cable: 10.9.0.1 and 10.9.0.2.
func twoMachines(t *testing.T) (a, b *machine) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	a, b = newMachine(t), newMachine(t)
	var other *os.File
	var err error
	b.do(func() { other, err = os.Open("/proc/thread-self/ns/net") })
	require.NoError(t, err)
	defer other.Close()
	a.run(t, "ip", "link", "add", "va", "type", "veth", "peer", "name", "vb")
	a.run(t, "ip", "link", "set", "vb", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), other.Fd()))
	a.run(t, "ip", "addr", "add", "10.9.0.1/24", "dev", "va")
	a.run(t, "ip", "link", "set", "va", "up")
	b.run(t, "ip", "addr", "add", "10.9.0.2/24", "dev", "vb")
	b.run(t, "ip", "link", "set", "vb", "up")
	return a, b
}

// TestServerOnAVanishedNodeIsSuspectedAndGivenUp sends over a kept connection to a
// server whose cable has been pulled. A server that is merely slow is left alone.
func TestServerOnAVanishedNodeIsSuspectedAndGivenUp(t *testing.T) {
	a, b := twoMachines(t)
	var ln net.Listener
	var err error
	b.do(func() { ln, err = net.Listen("tcp", "10.9.0.2:8080") })
	require.NoError(t, err)
	slow := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		_, _ = io.WriteString(w, "here")
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Close() })

	suspects := make(chan string, 100)
	// The first packet may come before the cable is up, and is repeated after a second.
	f := New(Options{DialTimeout: 10 * time.Second, Suspect: func(addr string) { suspects <- addr }})
	t.Cleanup(f.CloseIdle)
	dial := f.wire.dial
	f.wire.dial = func(ctx context.Context, addr string) (conn net.Conn, err error) {
		a.do(func() { conn, err = dial(ctx, addr) })
		return conn, err
	}
	ended := make(chan Outcome, 1)
	front := serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := f.Begin(w, r)
		defer x.End()
		out := x.Try("10.9.0.2:8080")
		ended <- out
		if out.Result != Done {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	post := func(path string) Outcome {
		res, err := client(t, false).Post("http://"+front+path, "", nil)
		require.NoError(t, err)
		res.Body.Close()
		return <-ended
	}
	// Longer than a vanished server would be left in peace.
	time.AfterFunc(suspectAfter+2*watchEvery, func() { close(slow) })
	require.Equal(t, Done, post("/slow").Result)
	require.Empty(t, suspects)

	b.run(t, "ip", "link", "set", "vb", "down")
	begun := time.Now()
	out := post("/")
	require.Equal(t, Failed, out.Result)
	require.ErrorIs(t, out.Err, ErrVanished)
	require.Equal(t, "10.9.0.2:8080", <-suspects)
	t.Logf("given up after %s", time.Since(begun))
}
