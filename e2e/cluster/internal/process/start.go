package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/rawserve/rawserve/e2e/cluster/internal/mntns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
)

// Daemon describes a process that outlives its starter.
type Daemon struct {
	Args []string
	// Env is all of its environment. Nothing is taken from its starter, whose
	// proxies and settings are not the cluster's.
	Env []string
	// Log is the file that gets its output, appended.
	Log string
	// Netns and Mntns are the files of the namespaces it lives in. An empty
	// Mntns is the machine's.
	Netns, Mntns string
	// Groups are the cgroup.procs files of the groups that it enters before it
	// runs, so that there is no moment in which it belongs to nobody.
	Groups []string
}

// launcher enters every control group that is named before "--" and then
// becomes the rest, in the background, with its own session and no terminal.
// Writing 0 moves the writer itself.
const launcher = `
set -e
while [ "$1" != -- ]; do groups="$groups $1"; shift; done
shift
( for g in $groups; do echo 0 > "$g"; done; exec "$@" ) &
`

// Start starts a daemon and returns once its launcher has gone; the daemon's
// parent is then init, which collects it when it ends.
func Start(d Daemon) error {
	if err := os.MkdirAll(filepath.Dir(d.Log), 0o755); err != nil {
		return fmt.Errorf("making log folder: %w", err)
	}
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer log.Close()
	args := append([]string{"-c", launcher, "sh"}, d.Groups...)
	args = append(append(args, "--"), d.Args...)
	cmd := exec.Command("/bin/sh", args...) //nolint:noctx // it is to outlive this program
	cmd.Env = d.Env
	if len(cmd.Env) == 0 {
		return fmt.Errorf("starting %s: it has no environment, not even a path", filepath.Base(d.Args[0]))
	}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = netns.Do(d.Netns, func() error {
		if d.Mntns != "" {
			if err := mntns.Enter(d.Mntns); err != nil {
				return err
			}
		}
		return cmd.Run()
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", filepath.Base(d.Args[0]), err)
	}
	return nil
}

// Tail is the end of a log file, at most n bytes of whole lines, for a message
// about the process that wrote it.
func Tail(file string, n int64) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(0, info.Size()-n)
	text := make([]byte, min(n, info.Size()))
	read, err := f.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return wholeLines(string(text[:read]), from > 0)
}
