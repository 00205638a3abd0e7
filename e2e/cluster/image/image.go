// Package image makes container images from binaries and folders, without an
// engine, a base image or a registry. The archives it writes can be loaded by
// containerd, Docker, Podman and this repository's local cluster.
package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Spec describes an image. The same spec over the same files gives the same
// image, byte for byte.
type Spec struct {
	// Reference is the image's name and tag; Canonical says how it is completed.
	Reference string
	// Layers are laid over one another in this order, one layer of the image
	// each; what changes often comes last.
	Layers []Layer

	Entrypoint, Command []string
	// Env holds NAME=value pairs.
	Env []string
	// User is a number or "number:number". Empty is root.
	User       string
	WorkingDir string
	Labels     map[string]string
}

// Layer is a set of files of an image.
type Layer []Entry

// Entry is a file or folder of a layer. Exactly one of From and Text is used.
type Entry struct {
	// Path is where it is in the image.
	Path string
	// From is the file or folder on this machine that it is made from. A folder
	// is copied with all that is in it; symbolic links stay links.
	From string
	// Text is the content of a small file.
	Text string
	// Mode is the permission of Text; 0 stands for 0644. Copies keep their own.
	Mode os.FileMode
}

// Binary is the spec of an image that holds one static program and runs it.
func Binary(reference, program string) Spec {
	path := "/" + filepath.Base(program)
	return Spec{
		Reference:  reference,
		Layers:     []Layer{{{Path: path, From: program}}},
		Entrypoint: []string{path},
	}
}

// Validate says what the spec lacks.
func (s Spec) Validate() error {
	if _, err := name.NewTag(Canonical(s.Reference)); err != nil {
		return fmt.Errorf("reference %q: %w", s.Reference, err)
	}
	if len(s.Layers) == 0 {
		return fmt.Errorf("layers of %s: give at least one", s.Reference)
	}
	for i, layer := range s.Layers {
		for _, e := range layer {
			switch {
			case !filepath.IsAbs(e.Path):
				return fmt.Errorf("layers[%d] of %s: path %q is not absolute", i, s.Reference, e.Path)
			case e.From != "" && e.Text != "":
				return fmt.Errorf("layers[%d] of %s: %s has both from and text; give one", i, s.Reference, e.Path)
			}
		}
	}
	return nil
}

// Write makes the image and writes it as a docker-archive to file, which
// appears complete or not at all.
func Write(ctx context.Context, s Spec, file string) (err error) {
	if err := s.Validate(); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(file), ".image-")
	if err != nil {
		return fmt.Errorf("making image %s: %w", s.Reference, err)
	}
	defer os.RemoveAll(scratch)
	img, err := assemble(ctx, s, scratch)
	if err != nil {
		return fmt.Errorf("making image %s: %w", s.Reference, err)
	}
	tag, err := name.NewTag(Canonical(s.Reference))
	if err != nil {
		return fmt.Errorf("making image %s: %w", s.Reference, err)
	}
	finished := filepath.Join(scratch, "image.tar")
	if err := tarball.WriteToFile(finished, tag, img); err != nil {
		return fmt.Errorf("writing image %s: %w", s.Reference, err)
	}
	return os.Rename(finished, file)
}

// ID is the digest of the configuration of an image in a docker-archive. Container
// runtimes call what they run by it, whatever its name stands for meanwhile.
func ID(archive, reference string) (string, error) {
	tag, err := name.NewTag(Canonical(reference))
	if err != nil {
		return "", fmt.Errorf("reference %q: %w", reference, err)
	}
	img, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		return "", fmt.Errorf("reading image %s of %s: %w", reference, archive, err)
	}
	id, err := img.ConfigName()
	if err != nil {
		return "", fmt.Errorf("reading image %s of %s: %w", reference, archive, err)
	}
	return id.String(), nil
}

func assemble(ctx context.Context, s Spec, scratch string) (v1.Image, error) {
	img := empty.Image
	for i, entries := range s.Layers {
		layer, err := writeLayer(ctx, entries, filepath.Join(scratch, fmt.Sprintf("layer-%d.tar", i)))
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, fmt.Errorf("adding layer: %w", err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading image configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: epoch}
	config.Config = v1.Config{
		Entrypoint: s.Entrypoint, Cmd: s.Command, Env: s.Env,
		User: s.User, WorkingDir: s.WorkingDir, Labels: s.Labels,
	}
	return mutate.ConfigFile(img, config)
}

// epoch stands for every time in an image, so that a rebuilt image that holds
// the same is the same.
var epoch = time.Unix(0, 0).UTC()
