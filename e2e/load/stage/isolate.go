package stage

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolatedEnv tells a process that it runs in a network namespace of its own.
const isolatedEnv = "RAWSERVE_LOAD_ISOLATED"

// podIP is the address of everything in the namespace. It is not a loopback address,
// because Endpoints, which Knative's activator reads, must not have one.
const podIP = "10.213.0.1"

// Isolated reports whether this process runs in a namespace that Isolate made.
func Isolated() bool { return os.Getenv(isolatedEnv) != "" }

// Isolate runs this program anew, with the same arguments, in a network namespace
// without a way out, and returns when that ends. So every port is free, also those
// that Knative's parts insist on, and nobody else's load comes in.
func Isolate(ctx context.Context, env ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	// Told to stop it stops what it has started.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 0
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), isolatedEnv+"=1"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("making a network namespace: %w; run this as root, or allow user namespaces (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	return cmd.Wait() //nolint:wrapcheck // it has said why itself
}

// bringUp switches the namespace's loopback on and gives it podIP.
func bringUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err //nolint:wrapcheck // cannot happen: the name is short
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("switching the loopback on: %w", err)
	}
	// A second address goes to a name of its own.
	second, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err //nolint:wrapcheck // cannot happen: the name is short
	}
	if err := second.SetInet4Addr(net.ParseIP(podIP).To4()); err != nil {
		return fmt.Errorf("setting %s: %w", podIP, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, second); err != nil {
		return fmt.Errorf("giving the loopback %s: %w", podIP, err)
	}
	return nil
}
