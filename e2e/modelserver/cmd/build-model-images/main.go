// Command build-model-images writes the images of a real model server and of a store
// with a real model into a folder and prints one line for each: its name, a tab, and
// its archive. Run it in the repository:
//
//	go -C e2e/modelserver run ./cmd/build-model-images --out /tmp/images
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rawserve/rawserve/e2e/modelserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "build-model-images:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	opts := modelserver.Options{Progress: os.Stderr}
	flag.StringVar(&opts.Out, "out", "", "folder for the archives (required)")
	flag.StringVar(&opts.Root, "root", "", "the repository's root; by default the folder above that holds it")
	flag.StringVar(&opts.Cache, "cache", "", "folder for what is kept between builds; by default rawserve/modelserver in the user's cache")
	flag.StringVar(&opts.Python, "python", "", "interpreter to pack, of version 3.11 to 3.13; by default the first that fits")
	flag.BoolVar(&opts.InstallDeps, "install-deps", false, "install missing Debian packages with apt-get")
	flag.Parse()
	if opts.Out == "" {
		return errors.New("--out is required: a folder for the archives")
	}
	if opts.Root == "" {
		root, err := findRoot()
		if err != nil {
			return err
		}
		opts.Root = root
	}
	images, err := modelserver.Build(ctx, opts)
	if err != nil {
		return err
	}
	for _, i := range images {
		fmt.Printf("%s\t%s\n", i.Ref, i.File)
	}
	return nil
}

// findRoot looks for the repository upwards from the working directory.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "testserver", "main.go")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("this is not a folder of the repository; name its root with --root")
		}
		dir = parent
	}
}
