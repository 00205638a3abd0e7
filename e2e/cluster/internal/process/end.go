package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery is how often a changing set of processes is looked at anew: neither
// control groups nor pid handles of strangers can be waited for together.
const pollEvery = 20 * time.Millisecond

// KillAll ends every process that list gives, again and again until it gives
// none: a process may have forked while it was being ended. It spares the
// processes in spare.
func KillAll(ctx context.Context, list func() ([]int, error), spare map[int]bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		pids, err := list()
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return spare[pid] })
		left, err := killOnce(pids)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for processes to end: %s: %w", strings.Join(left, ", "), context.Cause(ctx))
		}
	}
}

// killOnce signals the processes and names those that were still there. One
// that only waits to be collected by its parent counts as gone.
func killOnce(pids []int) ([]string, error) {
	var left []string
	for _, pid := range pids {
		p, err := Read(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if p.Executable == "" && zombie(pid) {
			continue
		}
		left = append(left, fmt.Sprintf("%d (%s)", pid, p.Name()))
		if err := p.Signal(unix.SIGKILL); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// zombie says whether the process has ended and was not collected.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return strings.HasPrefix(strings.TrimSpace(rest), "Z") || strings.HasPrefix(strings.TrimSpace(rest), "X")
}
