package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rawserve/rawserve/e2e/cluster/image"
	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cri"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// LoadImage puts the images of an archive on every node whose container runtime
// runs, and gives their full names. It returns when pods can use them. The archive
// is kept with the cluster: nodes that join or come back later get it before their
// first pod starts.
func (c *Cluster) LoadImage(ctx context.Context, archive string) ([]string, error) {
	references, err := image.References(archive)
	if err != nil {
		return nil, err
	}
	return references, c.load(ctx, references, func(file string) error { return copyFile(archive, file) })
}

// LoadSpec makes an image and loads it like LoadImage.
func (c *Cluster) LoadSpec(ctx context.Context, s image.Spec) ([]string, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	references := []string{image.Canonical(s.Reference)}
	return references, c.load(ctx, references, func(file string) error { return image.Write(ctx, s, file) })
}

// load has an archive written, keeps it and puts it on the nodes. Meanwhile no
// node may come: it would miss the archive.
func (c *Cluster) load(ctx context.Context, references []string, write func(file string) error) error {
	unlock, err := lock(ctx, c.plan.Name, nil)
	if err != nil {
		return err
	}
	defer unlock()
	file := keptFile(c.plan.ImagesDir(), references)
	for _, n := range c.plan.AllNodes() {
		// The mark is of a former archive of these names, which is to be replaced also
		// on nodes that are away now.
		if err := os.RemoveAll(markOf(n, file)); err != nil {
			return fmt.Errorf("loading %s: %w", strings.Join(references, ", "), err)
		}
	}
	if err := keep(file, write); err != nil {
		return fmt.Errorf("keeping %s: %w", strings.Join(references, ", "), err)
	}
	nodes, err := c.nodesThatRun()
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error { return c.loadOn(groupCtx, n, file) })
	}
	return group.Wait()
}

// nodesThatRun are those whose container runtime runs.
func (c *Cluster) nodesThatRun() ([]plan.Node, error) {
	var nodes []plan.Node
	for _, n := range c.plan.AllNodes() {
		_, runs, err := c.running(component.OfNode(n, c.spec.Machine, c.spec.Extra)[0])
		if err != nil {
			return nil, err
		}
		if runs {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// markOf is the file that says that a node has an archive. It lies beside the
// runtime's own folder and is lost with it.
func markOf(n plan.Node, archive string) string {
	return filepath.Join(n.Dir(), "loaded", filepath.Base(archive))
}

// loadOn puts an archive on a node, unless the node has that very archive already.
func (c *Cluster) loadOn(ctx context.Context, n plan.Node, archive string) error {
	mark := markOf(n, archive)
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
