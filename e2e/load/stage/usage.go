package stage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that a process has used, of all its threads, to the
// nanosecond. /proc/PID/stat has the same in hundredths of a second.
func CPU(pid int) (time.Duration, error) {
	// How the kernel numbers the clock of a process: CPUCLOCK_SCHED of the process
	// whose number is in the upper bits, inverted (clock_getcpuclockid(3)).
	const clockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|clockSched), &ts); err != nil {
		return 0, fmt.Errorf("reading the processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// ResetPeak has the kernel count the peak of a process's memory anew.
func ResetPeak(pid int) error {
	const peak = "5"
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(peak), 0); err != nil {
		return fmt.Errorf("resetting the peak of process %d: %w", pid, err)
	}
	return nil
}

// Peak is the most memory that a process has had resident since it was reset, in bytes.
func Peak(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	return vmHWM(status)
}

func vmHWM(status []byte) (int64, error) {
	for line := range bytes.Lines(status) {
		rest, ok := strings.CutPrefix(string(line), "VmHWM:")
		if !ok {
			continue
		}
		kb, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		n, err := strconv.ParseInt(kb, 10, 64)
		if !ok || err != nil {
			return 0, fmt.Errorf("VmHWM is %q: a number of kB is expected", strings.TrimSpace(rest))
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("there is no VmHWM: the process is ending, or the kernel was built without")
}

// LoadAverage is the machine's, over a minute; 0 where it cannot be read.
func LoadAverage() float64 {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(raw), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

// Processor is the name of the machine's processor.
func Processor() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(raw) {
		name, value, ok := strings.Cut(string(line), ":")
		if ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
