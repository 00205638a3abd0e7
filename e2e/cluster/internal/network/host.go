package network

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
)

// onHost calls fn in the host's namespace. That is this program's, unless it
// has entered a cluster, as tests do that have to reach pods; then it is that
// of the machine's first process.
func onHost(fn func() error) error {
	inCluster, err := inCluster()
	if err != nil {
		return fmt.Errorf("finding the host's namespace: %w", err)
	}
	if !inCluster {
		return fn()
	}
	return netns.Do("/proc/1/ns/net", fn)
}

func inCluster() (bool, error) {
	own, err := netns.ID("/proc/thread-self/ns/net")
	if err != nil {
		return false, err
	}
	paths, err := filepath.Glob("/run/netns/rawserve-*")
	if err != nil {
		return false, err
	}
	for _, path := range paths {
		if id, err := netns.ID(path); err == nil && id == own {
			return true, nil
		}
	}
	return false, nil
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
