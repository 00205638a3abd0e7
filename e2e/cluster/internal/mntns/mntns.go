// Package mntns gives each node a view of the file system in which the folders
// that kubelets and container runtimes take for their own (/var/lib/kubelet,
// /run/containerd and so on) are the node's own folders. So nodes and clusters
// do not meet, pods that mount such folders find what they look for, and the
// mounts of pods vanish with the node.
package mntns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Bind shows the folder From at the path At.
type Bind struct {
	From, At string
}

// Exists says whether the path names a mount namespace.
func Exists(path string) bool {
	var fsInfo unix.Statfs_t
	return unix.Statfs(path, &fsInfo) == nil && fsInfo.Type == unix.NSFS_MAGIC
}

// Ensure makes a mount namespace with those binds, named by a file, unless the
// file names one. Folders that are missing on either side are made.
func Ensure(path string, binds []Bind) error {
	if Exists(path) {
		return nil
	}
	for _, b := range binds {
		if err := errors.Join(os.MkdirAll(b.From, 0o755), os.MkdirAll(b.At, 0o755)); err != nil {
			return fmt.Errorf("making folders of mount namespace: %w", err)
		}
	}
	if err := privateFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return fmt.Errorf("making namespace file: %w", err)
	}
	if err := makeNamed(path, binds); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// privateFolder makes the folder a mount of its own whose mounts are not passed
// on: the kernel does not let a namespace be named where the name would be
// copied into the namespace itself.
func privateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making namespace folder: %w", err)
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting namespace folder %s: %w", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making namespace folder %s private: %w", dir, err)
	}
	return nil
}

// makeNamed makes the namespace on a thread of its own, which waits until this
// one, that still sees the machine's mounts, has named it.
func makeNamed(path string, binds []Bind) error {
	thread, failed, named := make(chan int), make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this function
		if err := unshareAndBind(binds); err != nil {
			failed <- err
			return
		}
		thread <- unix.Gettid()
		<-named
	}()
	select {
	case err := <-failed:
		return err
	case tid := <-thread:
		defer close(named)
		source := fmt.Sprintf("/proc/%d/task/%d/ns/mnt", os.Getpid(), tid)
		if err := unix.Mount(source, path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("naming mount namespace %s: %w", path, err)
		}
		return nil
	}
}

func unshareAndBind(binds []Bind) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making mount namespace: %w", err)
	}
	// What the machine mounts and unmounts is passed in, nothing is passed out.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separating mounts: %w", err)
	}
	for _, b := range binds {
		if err := unix.Mount(b.From, b.At, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("showing %s at %s: %w", b.From, b.At, err)
		}
	}
	// Kubelet, container runtime and pods with mount propagation share theirs.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts: %w", err)
	}
	return nil
}

// Enter moves the calling thread into the namespace. The caller has locked the
// goroutine to its thread and does not give the thread back.
func Enter(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	// A thread that shares root and working folder with others may not change them.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leaving shared working folder: %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("entering namespace %s: %w", path, err)
	}
	return nil
}

// Remove takes the name away; the namespace and its mounts end with its last
// process.
func Remove(path string) error {
	for Exists(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("removing namespace %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing namespace file: %w", err)
	}
	return nil
}
