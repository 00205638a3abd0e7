package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Lock takes a file's lock and gives the function that releases it. It calls
// waiting once if it has to wait. The kernel releases the lock of a process
// that dies, so a lock is never left behind. The holder may delete the file.
func Lock(ctx context.Context, file string, waiting func()) (func(), error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for told := false; ; told = true {
		f, err := tryLock(file)
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", file, err)
		}
		if f != nil {
			return func() { _ = f.Close() }, nil
		}
		if !told {
			waiting()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for lock %s: %w", file, context.Cause(ctx))
		}
	}
}

// tryLock gives nil if somebody else has the lock.
func tryLock(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && sameFile(f, file) {
		return f, nil
	}
	_ = f.Close()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	return nil, err
}

// sameFile says whether the opened file still has its name: a file that was
// deleted since is locked in vain, as others lock the one that replaced it.
func sameFile(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(name)
	return err == nil && os.SameFile(opened, named)
}
