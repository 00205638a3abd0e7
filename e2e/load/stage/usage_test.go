package stage

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const burnEnv = "RAWSERVE_LOAD_TEST_BURN"

// TestMain lets this binary be the process whose use is read: it says that it is
// there, burns what it is told of processor time on two threads or sleeps, and waits.
func TestMain(m *testing.M) {
	if text := os.Getenv(burnEnv); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			os.Exit(2)
		}
		burn(d)
		return
	}
	os.Exit(m.Run())
}

func burn(d time.Duration) {
	in := bufio.NewReader(os.Stdin)
	os.Stdout.WriteString("here\n")
	_, _ = in.ReadString('\n')
	halves := make(chan struct{})
	for range 2 {
		go func() {
			// Not by the clock on the wall: others use the processor too.
			me, _ := CPU(os.Getpid())
			for now := me; now-me < d; now, _ = CPU(os.Getpid()) {
				for i := 0; i < 100_000; i++ { //nolint:revive // it is to take time
				}
			}
			halves <- struct{}{}
		}()
	}
	<-halves
	<-halves
	grown := make([]byte, 64<<20)
	for i := 0; i < len(grown); i += 4096 {
		grown[i] = 1
	}
	os.Stdout.WriteString("done\n")
	_, _ = in.ReadString('\n')
	os.Stdout.Write(grown[:1])
}

func TestTheProcessorTimeOfABusyProcessIsItsOwn(t *testing.T) {
	const busy = 200 * time.Millisecond
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), burnEnv+"="+busy.String())
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	lines := bufio.NewReader(out)
	say := func(want string) {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want, line)
	}
	pid := cmd.Process.Pid
	say("here\n")
	require.NoError(t, ResetPeak(pid))
	before, err := CPU(pid)
	require.NoError(t, err)
	small, err := Peak(pid)
	require.NoError(t, err)

	_, err = in.Write([]byte("\n"))
	require.NoError(t, err)
	say("done\n")
	after, err := CPU(pid)
	require.NoError(t, err)
	grown, err := Peak(pid)
	require.NoError(t, err)
	// The process measures itself with the same clock, so the kernel's own account of
	// it, which is independent and in hundredths of a second, is asked at the end.
	in.Close()
	require.NoError(t, cmd.Wait())
	all := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()

	require.GreaterOrEqual(t, after-before, busy)
	require.Less(t, after-before, 20*busy, "it stops soon after")
	require.InDelta(t, all.Seconds(), after.Seconds(), 0.1, "what it used after that is little")
	require.GreaterOrEqual(t, grown-small, int64(60<<20), "64 MB were touched")
}

func TestAProcessThatIsIdleUsesNothing(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), burnEnv+"=1s")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		in.Close()
		_ = cmd.Wait()
	}()
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	before, err := CPU(cmd.Process.Pid)
	require.NoError(t, err)
	busy(t, 50*time.Millisecond)
	after, err := CPU(cmd.Process.Pid)
	require.NoError(t, err)
	require.Less(t, after-before, 25*time.Millisecond, "another process was busy, not this one")
}

// busy uses so much of this process's own time.
func busy(t *testing.T, d time.Duration) {
	begun, err := CPU(os.Getpid())
	require.NoError(t, err)
	for {
		now, err := CPU(os.Getpid())
		require.NoError(t, err)
		if now-begun >= d {
			return
		}
	}
}

func TestAProcessThatIsGoneIsAnErrorAndNotZero(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	_, err := CPU(cmd.Process.Pid)
	require.Error(t, err)
	_, err = Peak(cmd.Process.Pid)
	require.Error(t, err)
}

func TestThePeakIsReadFromTheKernelsWords(t *testing.T) {
	n, err := vmHWM([]byte("Name:\tload\nVmPeak:\t  99 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 7 kB\n"))
	require.NoError(t, err)
	require.Equal(t, int64(1234<<10), n)
	_, err = vmHWM([]byte("Name:\tload\n"))
	require.ErrorContains(t, err, "no VmHWM")
	_, err = vmHWM([]byte("VmHWM:\t12 pages\n"))
	require.ErrorContains(t, err, "12 pages")
}
