package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rawserve/rawserve/e2e/cluster/image"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cri"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// LoadImage puts the images of an archive on every node that runs, and gives
// their full names. It returns when pods can use them.
func (c *Cluster) LoadImage(ctx context.Context, archive string) ([]string, error) {
	references, err := image.References(archive)
	if err != nil {
		return nil, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, n := range c.plan.AllNodes() {
		group.Go(func() error { return c.importOn(groupCtx, n, archive, references) })
	}
	return references, group.Wait()
}

// LoadSpec makes an image and puts it on every node.
func (c *Cluster) LoadSpec(ctx context.Context, s image.Spec) ([]string, error) {
	dir, err := os.MkdirTemp(c.plan.Dir(), "image-")
	if err != nil {
		return nil, fmt.Errorf("making image %s: %w", s.Reference, err)
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "image.tar")
	if err := image.Write(ctx, s, archive); err != nil {
		return nil, err
	}
	return c.LoadImage(ctx, archive)
}

// loadOn puts an archive of the addons on a node, unless the node has that very
// archive already. That is remembered beside the runtime's own folder.
func (c *Cluster) loadOn(ctx context.Context, n plan.Node, archive string) error {
	mark := filepath.Join(n.Dir(), "loaded", filepath.Base(archive))
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	references, err := image.References(archive)
	if err != nil {
		return err
	}
	if err := c.importOn(ctx, n, archive, references); err != nil {
		return err
	}
	return writeFile(mark, nil, 0o644)
}

// visibleWithin bounds the time between an import and the moment the runtime's
// own list has it, which is told by an event and usually takes milliseconds.
const visibleWithin = 20 * time.Second

func (c *Cluster) importOn(ctx context.Context, n plan.Node, archive string, references []string) error {
	ctr, err := c.Binary("ctr")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, ctr, "--address", n.Socket(), "--namespace", "k8s.io",
		"images", "import", "--snapshotter", "overlayfs", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("loading %s on %s: %w: %s", archive, n.Name(), err, bytes.TrimSpace(out))
	}
	client, err := cri.Dial(n.Socket())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, visibleWithin, fmt.Errorf("not listed after %s", visibleWithin))
	defer cancel()
	for _, reference := range references {
		err := poll(ctx, "image "+reference+" on "+n.Name(), func(ctx context.Context) error {
			has, err := client.HasImage(ctx, reference)
			if err == nil && !has {
				err = errors.New("the container runtime does not list it")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
