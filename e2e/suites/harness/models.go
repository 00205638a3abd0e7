package harness

import (
	"context"
	"io"

	"github.com/rawserve/rawserve/e2e/modelserver"
)

// modelImages packs the real model server and the store with the trained model.
func modelImages(ctx context.Context, root, dir string, installDeps bool, progress io.Writer) ([]string, error) {
	images, err := modelserver.Build(ctx, modelserver.Options{Out: dir, Root: root, InstallDeps: installDeps, Progress: progress})
	if err != nil {
		return nil, err
	}
	var files []string
	for _, i := range images {
		files = append(files, i.File)
	}
	return files, nil
}
