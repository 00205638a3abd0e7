package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// ErrNoProcesses says that a cluster's processes cannot be reached from here.
var ErrNoProcesses = errors.New("containers' processes can be reached with a local cluster only")

// Process is the process of a container on this machine.
type Process struct{ PID int }

// Process finds the process of a container, which must be its only one.
func (e *Env) Process(pod *corev1.Pod, container string) (Process, error) {
	if e.Target.Local == nil {
		return Process{}, ErrNoProcesses
	}
	id := containerID(pod, container)
	if id == "" {
		return Process{}, fmt.Errorf("container %s of pod %s/%s does not run", container, pod.Namespace, pod.Name)
	}
	pids, err := inControlGroup(os.DirFS("/proc"), id)
	if err != nil {
		return Process{}, err
	}
	if len(pids) != 1 {
		return Process{}, fmt.Errorf("container %s of pod %s/%s has %d processes: want one", container, pod.Namespace, pod.Name, len(pids))
	}
	return Process{PID: pids[0]}, nil
}

// Kill ends the process as a crash does: nothing of it is told, and nothing closed.
func (p Process) Kill() error {
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing process %d: %w", p.PID, err)
	}
	return nil
}

// ForgetPeak lets PeakMemory begin anew.
func (p Process) ForgetPeak() error {
	// proc_pid_clear_refs(5): 5 resets the peak of the resident memory.
	if err := os.WriteFile(p.file("clear_refs"), []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak memory of process %d: %w", p.PID, err)
	}
	return nil
}

// PeakMemory is the most memory, in bytes, that the process has been resident with
// since it began, or since ForgetPeak.
func (p Process) PeakMemory() (int64, error) {
	text, err := os.ReadFile(p.file("status"))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", p.PID, err)
	}
	n, err := statusBytes(string(text), "VmHWM")
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", p.PID, err)
	}
	return n, nil
}

func (p Process) file(name string) string {
	return filepath.Join("/proc", strconv.Itoa(p.PID), name)
}

// statusBytes reads a line such as "VmHWM:	  1234 kB" of /proc/PID/status.
func statusBytes(status, name string) (int64, error) {
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == name+":" && fields[2] == "kB" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("there is no line %s", name)
}

// containerID is the ID of a container that runs, without the runtime's name.
func containerID(pod *corev1.Pod, container string) string {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.Name == container && s.State.Running != nil {
				_, id, _ := strings.Cut(s.ContainerID, "://")
				return id
			}
		}
	}
	return ""
}

// inControlGroup finds the processes whose control group is named after a container.
func inControlGroup(proc fs.FS, id string) ([]int, error) {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		groups, err := fs.ReadFile(proc, entry.Name()+"/cgroup")
		if err != nil {
			continue // it has ended meanwhile
		}
		if strings.Contains(string(groups), id) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
