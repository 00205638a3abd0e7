// Package modelserver makes images of a real model server and of a store that holds a
// real model, from PyPI and the Go toolchain alone: no Docker, no base image, no root
// rights. The model server is MLServer with scikit-learn under the name that KServe's
// stock runtime asks for; the model is scikit-learn's iris classifier, trained during
// the build by the very version that serves it.
package modelserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rawserve/rawserve/e2e/cluster/image"
)

// The images' names.
const (
	// ServerImage is what the stock ClusterServingRuntime kserve-mlserver asks for.
	ServerImage = "docker.io/seldonio/mlserver:1.7.1"
	// StoreImage serves the files below ModelPath over HTTP on port 8080.
	StoreImage = "rawserve/model-store:dev"
)

// Paths that the store serves.
const (
	// ModelPath is the model as a file, ArchivePath packed as a tar.gz.
	ModelPath   = "/iris/model.joblib"
	ArchivePath = "/iris.tar.gz"
	// ExpectedPath is JSON with rows and the classes the model gives them.
	ExpectedPath = "/iris/expected.json"
)

// Options say what to build from and where to.
type Options struct {
	// Root is the repository's root folder, Out the folder for the archives.
	Root, Out string
	// Cache keeps the packed server between builds; "" is rawserve/modelserver in
	// XDG_CACHE_HOME or ~/.cache.
	Cache string
	// Python is the interpreter to pack; "" looks for one.
	Python string
	// InstallDeps installs missing Debian packages with apt-get instead of naming them.
	InstallDeps bool
	// Progress is told what is being done; nil for nothing.
	Progress io.Writer
}

// Image is an image in an archive that containerd and Docker can load.
type Image struct{ Ref, File string }

// Build makes the images. What is unchanged since an earlier build is taken from the
// cache, and the second build takes seconds.
func Build(ctx context.Context, opts Options) ([]Image, error) {
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	pack, err := Pack(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Out, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for the images: %w", err)
	}
	server := Image{Ref: ServerImage, File: filepath.Join(opts.Out, "mlserver.tar")}
	if err := linkOrCopy(pack.Archive(), server.File); err != nil {
		return nil, fmt.Errorf("placing the model server's image: %w", err)
	}
	store := Image{Ref: StoreImage, File: filepath.Join(opts.Out, "model-store.tar")}
	if err := buildStore(ctx, opts, pack, store); err != nil {
		return nil, err
	}
	return []Image{server, store}, nil
}

// buildStore makes the small image of test server and model.
func buildStore(ctx context.Context, opts Options, pack Packed, to Image) error {
	scratch, err := os.MkdirTemp(opts.Out, ".store-")
	if err != nil {
		return fmt.Errorf("building the model store: %w", err)
	}
	defer os.RemoveAll(scratch)
	fmt.Fprintln(opts.Progress, "building the model store")
	program := filepath.Join(scratch, "testserver")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "./e2e/testserver")
	cmd.Dir, cmd.Env = opts.Root, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the test server: %w\n%s", err, out)
	}
	spec := image.Binary(to.Ref, program)
	spec.User, spec.WorkingDir = "65532:65532", "/"
	spec.Command = []string{"--serve-files=/models"}
	spec.Layers = append(spec.Layers, image.Layer{{Path: "/models", From: pack.Models()}})
	return image.Write(ctx, spec, to.File)
}

// linkOrCopy gives a file a second name, or copies it to another file system.
func linkOrCopy(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(from, to); err == nil {
		return nil
	}
	return copyFile(from, to, 0o644)
}
