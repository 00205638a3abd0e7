package stage

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the start of one process, on a machine that builds besides.
	startTimeout = time.Minute
	// stopTimeout is how long a process may take to end when asked to.
	stopTimeout = 2 * time.Second
)

// process is a child that writes to a log.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	ended  chan struct{} // closed once the child is gone
	result error         // valid once ended is closed
}

// spawn starts a child that dies with this process, also when that is killed.
func spawn(cmd *exec.Cmd, name, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &process{name: name, log: log, cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("starting %s: %w", name, err)
			return
		}
		started <- nil
		p.result = cmd.Wait()
		close(p.ended)
	}()
	return p, <-started
}

// listens waits until the child takes connections on addr.
func (p *process) listens(ctx context.Context, addr string) error {
	return p.until(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err //nolint:wrapcheck // until says of what
		}
		return conn.Close()
	})
}

// until asks again and again until there is no error. Its error holds the end of the log.
func (p *process) until(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("starting %s: it ended (%w); the end of its log:\n%s", p.name, p.result, tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; the end of its log:\n%s", p.name, err, tail(p.log))
		case <-tick.C:
		}
	}
}

// stopAll ends children together: nothing of them is needed any more, so none is
// waited for long, and they do not wait for each other.
func stopAll(all []*process) {
	for _, p := range all {
		// The error of a child that is already gone needs no answer.
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	expired := false
	for _, p := range all {
		if !expired {
			select {
			case <-p.ended:
			case <-patience.C:
				expired = true
			}
		}
		if expired {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	}
}

func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const lines = 15
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return filepath.Base(path) + ":\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
