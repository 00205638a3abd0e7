// Package process reads and ends processes without mistaking one for another:
// process numbers are reused, so a process is a number together with the
// moment it started, and signals go through a handle that names it for good.
package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one running process.
type Process struct {
	PID int
	// Executable is the file it runs, without the mark of a deleted one. Empty
	// for a process that has ended and was not collected.
	Executable string
	// StartTicks is when it started, in clock ticks after boot. With PID it
	// names the process.
	StartTicks uint64
	Parent     int
}

// ticksPerSecond is the kernel's USER_HZ, 100 on every architecture Go supports.
const ticksPerSecond = 100

// Read describes a process. The error is os.ErrNotExist when there is none.
func Read(pid int) (Process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, unix.ESRCH) {
		return Process{}, os.ErrNotExist
	}
	if err != nil {
		return Process{}, err
	}
	p, err := ParseStat(string(stat))
	if err != nil {
		return Process{}, fmt.Errorf("reading process %d: %w", pid, err)
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
		p.Executable = strings.TrimSuffix(exe, " (deleted)")
	}
	return p, nil
}

// ParseStat reads what is needed from a line of /proc/PID/stat. The second
// field is the command in parentheses, and may itself hold blanks and
// parentheses; so the fields are counted from the last one.
func ParseStat(line string) (Process, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Process{}, fmt.Errorf("no command in stat line %q", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:open]))
	if err != nil {
		return Process{}, fmt.Errorf("no number in stat line: %w", err)
	}
	fields := strings.Fields(line[end+1:])
	const parent, start = 1, 19 // fields 4 and 22 of the line, counted from 1
	if len(fields) <= start {
		return Process{}, fmt.Errorf("stat line has %d fields after the command, want %d", len(fields), start+1)
	}
	ppid, err := strconv.Atoi(fields[parent])
	if err != nil {
		return Process{}, fmt.Errorf("no parent in stat line: %w", err)
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return Process{}, fmt.Errorf("no start in stat line: %w", err)
	}
	return Process{PID: pid, Parent: ppid, StartTicks: ticks}, nil
}

// Name is the base name of the executable.
func (p Process) Name() string {
	if p.Executable == "" {
		return ""
	}
	return filepath.Base(p.Executable)
}

// Uptime is how long the process has run.
func (p Process) Uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	started := time.Duration(p.StartTicks) * time.Second / ticksPerSecond
	return max(0, time.Duration(now.Nano())-started)
}

// Signal sends a signal to exactly this process: the handle is opened first
// and the start compared afterwards, so that a number given anew in between is
// noticed. A process that has ended is no error.
func (p Process) Signal(signal unix.Signal) error {
	handle, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", p.PID, err)
	}
	defer unix.Close(handle)
	now, err := Read(p.PID)
	if errors.Is(err, os.ErrNotExist) || err == nil && now.StartTicks != p.StartTicks {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(handle, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signalling process %d (%s): %w", p.PID, p.Name(), err)
	}
	return nil
}

// All lists the numbers of the machine's processes.
func All() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Lineage is this process and its ancestors: who must not be ended by a
// clean-up that one of them asked for.
func Lineage() map[int]bool {
	line := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !line[pid]; {
		line[pid] = true
		p, err := Read(pid)
		if err != nil {
			break
		}
		pid = p.Parent
	}
	return line
}
