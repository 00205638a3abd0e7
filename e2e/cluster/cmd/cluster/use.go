package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster"
	"github.com/rawserve/rawserve/e2e/cluster/image"
)

// words collects a flag that may be repeated.
type words []string

func (w *words) String() string         { return strings.Join(*w, " ") }
func (w *words) Set(value string) error { *w = append(*w, value); return nil }

func loadImage(ctx context.Context, command string, args []string) error {
	set, name := flags(command)
	var binaries, folders, entrypoint, env words
	ref := set.String("ref", "", "name of the image to make from --binary and --folder")
	set.Var(&binaries, "binary", "static program to put into the image, as FILE or FILE:PATH; may be repeated, the first is run")
	set.Var(&folders, "folder", "folder to put into the image, as DIR:PATH; may be repeated")
	set.Var(&entrypoint, "entrypoint", "word of the command to run, by default the first binary; may be repeated")
	set.Var(&env, "env", "NAME=VALUE; may be repeated")
	user := set.String("user", "", "user number to run as; empty is root")
	output := set.String("output", "", "write the image to this file instead of loading it")
	if err := set.Parse(args); err != nil {
		return err
	}
	making := *ref != "" || len(binaries)+len(folders) > 0
	switch {
	case making && set.NArg() > 0:
		return fmt.Errorf("give either an archive or --ref with --binary and --folder, not both (archive %q)", set.Arg(0))
	case making && *ref == "":
		return errors.New("--ref: give the image a name")
	case !making && set.NArg() != 1:
		return errors.New("give one archive, or --ref with --binary and --folder")
	}
	if !making {
		return load(ctx, *name, func(c *cluster.Cluster) ([]string, error) { return c.LoadImage(ctx, set.Arg(0)) })
	}
	spec := describeImage(*ref, binaries, folders)
	if len(entrypoint) > 0 {
		spec.Entrypoint = entrypoint
	}
	spec.Env, spec.User = env, *user
	if *output != "" {
		return image.Write(ctx, spec, *output)
	}
	return load(ctx, *name, func(c *cluster.Cluster) ([]string, error) { return c.LoadSpec(ctx, spec) })
}

// describeImage lays folders below binaries: programs change more often.
func describeImage(ref string, binaries, folders []string) image.Spec {
	spec := image.Spec{Reference: ref}
	for _, folder := range folders {
		from, path, ok := strings.Cut(folder, ":")
		if !ok {
			path = "/"
		}
		spec.Layers = append(spec.Layers, image.Layer{{Path: path, From: from}})
	}
	var programs image.Layer
	for _, binary := range binaries {
		from, path, ok := strings.Cut(binary, ":")
		if !ok {
			path = "/" + filepath.Base(from)
		}
		programs = append(programs, image.Entry{Path: path, From: from})
	}
	if len(programs) > 0 {
		spec.Layers = append(spec.Layers, programs)
		spec.Entrypoint = []string{programs[0].Path}
	}
	return spec
}

func load(_ context.Context, name string, do func(*cluster.Cluster) ([]string, error)) error {
	c, err := cluster.Find(name)
	if err != nil {
		return err
	}
	references, err := do(c)
	for _, reference := range references {
		fmt.Println(reference)
	}
	return err
}

func execute(_ context.Context, command string, args []string) error {
	set, name := flags(command)
	node := set.String("node", "", "node in whose network to run; empty is the first")
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() == 0 {
		return errors.New("give a command after --")
	}
	c, err := cluster.Find(*name)
	if err != nil {
		return err
	}
	return c.Exec(*node, set.Args()...)
}

// shortLog is how much of each log is shown when all are.
const shortLog = 2000

func logs(ctx context.Context, command string, args []string) error {
	set, name := flags(command)
	node := set.String("node", "", "node of the component; empty is the first")
	follow := set.Bool("follow", false, "go on printing what is added")
	if err := set.Parse(args); err != nil {
		return err
	}
	c, err := cluster.Find(*name)
	if err != nil {
		return err
	}
	if set.NArg() == 0 {
		return allLogs(ctx, c)
	}
	file, err := c.LogFile(set.Arg(0), *node)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer f.Close()
	return copyLog(ctx, os.Stdout, f, *follow)
}

func allLogs(ctx context.Context, c *cluster.Cluster) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.Components {
		fmt.Printf("==> %s <==\n%s\n\n", p.Log, cluster.Tail(p.Log, shortLog))
	}
	return nil
}

// copyLog prints a log, and what is added to it until ctx ends.
func copyLog(ctx context.Context, w io.Writer, f *os.File, follow bool) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := io.Copy(w, f); err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
		if !follow {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
