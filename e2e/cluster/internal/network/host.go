package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

// onHost calls fn in the host's namespace. That is this program's, unless it
// has entered a cluster, as tests do that have to reach pods; then it is that
// of the nearest ancestor that has not, for example the shell or `go test`.
func onHost(fn func() error) error {
	inside, err := clusterNamespaces()
	if err != nil {
		return fmt.Errorf("finding the host's namespace: %w", err)
	}
	path := "/proc/thread-self/ns/net"
	for pid := os.Getpid(); pid > 0; {
		id, err := netns.ID(path)
		if err == nil && !inside[id] {
			return netns.Do(path, fn)
		}
		p, err := process.Read(pid)
		if err != nil {
			break
		}
		pid, path = p.Parent, fmt.Sprintf("/proc/%d/ns/net", p.Parent)
	}
	return ErrInside
}

// ErrInside says that a program that runs inside a cluster wants to do what
// only the host can.
var ErrInside = errors.New("this program and all its ancestors run inside a cluster's network: do this from the host")

func clusterNamespaces() (map[uint64]bool, error) {
	paths, err := filepath.Glob("/run/netns/rawserve-*")
	if err != nil {
		return nil, err
	}
	ids := map[uint64]bool{}
	for _, path := range paths {
		if !netns.Exists(path) {
			continue
		}
		id, err := netns.ID(path)
		if err != nil {
			return nil, err
		}
		ids[id] = true
	}
	return ids, nil
}

// Prefixes lists the networks of the host's interfaces.
func Prefixes() ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	err := onHost(func() error {
		addresses, err := net.InterfaceAddrs()
		if err != nil {
			return fmt.Errorf("reading addresses of the host: %w", err)
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil {
				prefixes = append(prefixes, prefix.Masked())
			}
		}
		return nil
	})
	return prefixes, err
}

// HasInterface says whether the host has an interface of that name.
func HasInterface(name string) (bool, error) {
	found := false
	err := onHost(func() error {
		found = exists(name)
		return nil
	})
	return found, err
}
