package process

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestParseStatCountsFromTheLastParenthesis(t *testing.T) {
	rest := " S 41 1 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 8 0 987654 1 2 3"
	for _, name := range []string{"kubelet", "a b", "a) R 1 (b", ""} {
		got, err := ParseStat("4242 (" + name + ")" + rest)
		require.NoError(t, err, name)
		require.Equal(t, Process{PID: 4242, Parent: 41, StartTicks: 987654}, got, name)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("4242 (kubelet) S 41 1 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 8 0 987654 1 2 3")
	f.Add(")(")
	f.Fuzz(func(t *testing.T, line string) {
		if p, err := ParseStat(line); err == nil {
			require.Contains(t, line, "(")
			require.Empty(t, p.Executable)
		}
	})
}

// sleeper starts a process that ends when the test does.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func TestReadDescribesARunningProcess(t *testing.T) {
	self, err := Read(os.Getpid())
	require.NoError(t, err)
	executable, err := os.Executable()
	require.NoError(t, err)
	require.Equal(t, filepath.Base(executable), self.Name())
	require.Equal(t, os.Getppid(), self.Parent)
	require.Less(t, self.Uptime(), 10*time.Minute)
	require.True(t, Lineage()[os.Getpid()])
	require.True(t, Lineage()[os.Getppid()])
}

func TestASignalNeverReachesAProcessThatReusesTheNumber(t *testing.T) {
	cmd := sleeper(t)
	earlier, err := Read(cmd.Process.Pid)
	require.NoError(t, err)
	earlier.StartTicks--

	require.NoError(t, earlier.Signal(unix.SIGKILL))

	now, err := Read(cmd.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, "sleep", now.Name())
}

func TestASignalToAnEndedProcessIsNoError(t *testing.T) {
	cmd := sleeper(t)
	p, err := Read(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.NoError(t, p.Signal(unix.SIGTERM))
}

func TestKillAllEndsWhatAppearsMeanwhileAndSparesTheSpared(t *testing.T) {
	first, second, spared := sleeper(t), sleeper(t), sleeper(t)
	calls := 0
	list := func() ([]int, error) {
		calls++
		if calls == 1 {
			return []int{first.Process.Pid, spared.Process.Pid}, nil
		}
		return []int{first.Process.Pid, second.Process.Pid, spared.Process.Pid}, nil
	}

	require.NoError(t, KillAll(t.Context(), list, map[int]bool{spared.Process.Pid: true}))

	for _, cmd := range []*exec.Cmd{first, second} {
		// Its parent, this test, has not collected it yet.
		require.True(t, zombie(cmd.Process.Pid))
	}
	alive, err := Read(spared.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, "sleep", alive.Name())
}

func TestKillAllNamesWhatDoesNotEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cmd := sleeper(t)
	list := func() ([]int, error) {
		cancel(os.ErrDeadlineExceeded)
		return []int{cmd.Process.Pid}, nil
	}
	err := KillAll(ctx, list, nil)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.ErrorContains(t, err, "(sleep)")
}

func TestADaemonHasOnlyTheEnvironmentItIsGivenAndOutlivesItsLauncher(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("entering a namespace, even one's own, needs root")
	}
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	dir := t.TempDir()
	group, fifo := filepath.Join(dir, "cgroup.procs"), filepath.Join(dir, "fifo")
	require.NoError(t, os.WriteFile(group, nil, 0o644))
	require.NoError(t, unix.Mkfifo(fifo, 0o600))

	require.NoError(t, Start(Daemon{
		Args:   []string{"/bin/sh", "-c", "{ cat /proc/self/stat; env; } > " + fifo},
		Env:    []string{"PATH=/usr/bin:/bin", "HOME=/root"},
		Log:    filepath.Join(dir, "log"),
		Netns:  "/proc/self/ns/net",
		Groups: []string{group},
	}))

	// Opening waits for the daemon, reading to the end waits for its end.
	f, err := os.Open(fifo)
	require.NoError(t, err)
	defer f.Close()
	var lines []string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		lines = append(lines, scan.Text())
	}
	require.Contains(t, lines, "HOME=/root")
	require.NotContains(t, strings.Join(lines, "\n"), "PROXY")
	entered, err := os.ReadFile(group)
	require.NoError(t, err)
	require.Equal(t, "0\n", string(entered))
}

func TestTailGivesWholeLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("first line\nsecond\nthird\n"), 0o644))
	require.Equal(t, "second\nthird", Tail(file, 15))
	require.Equal(t, "first line\nsecond\nthird", Tail(file, 1000))
	require.Contains(t, Tail(file+".none", 10), "no such file")
}
