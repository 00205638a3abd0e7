package cluster

import (
	"context"
	"io"

	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
)

// Build makes the binaries of the given names, or all, and maps each name to
// its file. Nothing is started, and root is not needed.
func Build(ctx context.Context, progress io.Writer, names ...string) (map[string]string, error) {
	if progress == nil {
		progress = io.Discard
	}
	source, err := build.FindSource()
	if err != nil {
		return nil, err
	}
	folder, err := build.DefaultFolder()
	if err != nil {
		return nil, err
	}
	return build.Cache{Folder: folder, Source: source, Progress: build.NewProgress(progress)}.Ensure(ctx, names...)
}
