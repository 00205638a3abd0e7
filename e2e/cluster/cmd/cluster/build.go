package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// buildBinaries builds what a cluster runs, so that others can run parts of it.
func buildBinaries(ctx context.Context, command string, args []string) error {
	set, _ := flags(command)
	link := set.String("link", "", "folder in which to link the binaries under their names")
	if err := set.Parse(args); err != nil {
		return err
	}
	files, err := cluster.Build(ctx, os.Stderr, set.Args()...)
	if err != nil {
		return err
	}
	for name, file := range files {
		if *link == "" {
			fmt.Println(file)
			continue
		}
		if err := linkAs(file, filepath.Join(*link, name)); err != nil {
			return err
		}
	}
	return nil
}

// linkAs makes name lead to file, whatever it led to before.
func linkAs(file, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("linking %s: %w", name, err)
	}
	if err := os.RemoveAll(name + ".new"); err != nil {
		return fmt.Errorf("linking %s: %w", name, err)
	}
	if err := os.Symlink(file, name+".new"); err != nil {
		return fmt.Errorf("linking %s: %w", name, err)
	}
	return os.Rename(name+".new", name)
}
