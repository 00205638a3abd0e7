package apiservertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end when asked to.
const stopTimeout = 10 * time.Second

// process is a child that writes to a log file.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	ended  chan struct{} // closed once the child is gone
	result error         // valid once ended is closed
}

// startProcess starts a child that dies with this process, also when that is
// killed: a test binary that runs into its time limit cleans nothing up.
func startProcess(ctx context.Context, path, log string, args []string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	// The context bounds the start, and the child is to outlive it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	p := &process{name: filepath.Base(path), log: log, cmd: cmd, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = dieWithParent()

	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that started it, so the thread
		// must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		if err := p.cmd.Start(); err != nil {
			started <- fmt.Errorf("starting %s: %w", p.name, err)
			return
		}
		started <- nil
		p.result = p.cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// waitFor waits until the child is ready. Its error holds the end of the log.
func (p *process) waitFor(ctx context.Context, ready func(context.Context) bool) error {
	err := poll(ctx, p.ended, ready)
	if err == nil {
		return nil
	}
	select {
	case <-p.ended:
		err = fmt.Errorf("it ended: %w", p.result)
	default:
	}
	return fmt.Errorf("waiting for %s: %w; the end of its log:\n%s", p.name, err, tail(p.log, 20))
}

// stop asks the child to end, and kills it if it does not. A nil process is
// one that was never started.
func (p *process) stop() {
	if p == nil {
		return
	}
	// The errors of a child that is already gone need no answer.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func tail(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
