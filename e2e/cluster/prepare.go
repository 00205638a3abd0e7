package cluster

import (
	"context"
	"errors"
	"os"

	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
	"github.com/rawserve/rawserve/e2e/cluster/internal/preflight"
)

// ErrNotRoot says that only root can do this.
var ErrNotRoot = errors.New("namespaces, mounts and control groups need root: run it with sudo")

// prepare checks the machine and builds what is missing. Nothing of a cluster
// is started or written before both have gone well.
func prepare(ctx context.Context, o Options, progress *build.Progress) (component.Machine, error) {
	if os.Geteuid() != 0 {
		return component.Machine{}, ErrNotRoot
	}
	source, err := build.FindSource()
	if err != nil {
		return component.Machine{}, err
	}
	folder, err := build.DefaultFolder()
	if err != nil {
		return component.Machine{}, err
	}
	cache := build.Cache{Folder: folder, Source: source, Progress: progress}
	missing, err := cache.Missing()
	if err != nil {
		return component.Machine{}, err
	}
	found, err := preflight.Run(ctx, preflight.Options{
		Cluster:     plan.Cluster{Name: o.Name, Nodes: max(1, o.Nodes)},
		Cache:       folder,
		Builds:      len(missing),
		InstallDeps: o.InstallDeps,
		Say:         progress.Say,
	})
	if err != nil {
		return component.Machine{}, err
	}
	binaries, err := cache.Ensure(ctx)
	if err != nil {
		return component.Machine{}, err
	}
	return component.Machine{Binaries: binaries, Runc: found.Runc, CNI: found.CNI}, nil
}
