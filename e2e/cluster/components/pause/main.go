// Command pause is the first process of every pod of the local cluster: it
// holds the pod's namespaces open and ends when it is told to.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

// A bare select{} would be reported as a deadlock by the Go runtime, which
// shows up in containerd as "ttrpc: closed" at every container start; waiting
// for a signal is not.
func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-stop:
			return
		case <-children:
			reap()
		}
	}
}

// reap collects every child that has ended: in a pod with a shared process
// namespace orphans become children of this process.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}
