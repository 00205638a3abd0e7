package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Binaries are the programs that take part, by their names.
type Binaries map[binary]string

type binary string

const (
	binActivator binary = "activator"
	binAgent     binary = "agent"
	binProxy     binary = "load-proxy"
	binBackend   binary = "load-backend"
	binClient    binary = "load-client"
	binQueue     binary = "knative-queue"
	binKnative   binary = "knative-activator"
)

// knativeVersion is the newest whose dependencies the module proxy still has.
const knativeVersion = "v0.42.2"

// pprofEnv names the variable with the address at which a program that was built for
// profiling serves its profiles.
const pprofEnv = "RAWSERVE_LOAD_PPROF"

// pprofSource is added to a program that is to be profiled.
const pprofSource = `package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
)

func init() {
	if addr := os.Getenv("` + pprofEnv + `"); addr != "" {
		go func() { _ = http.ListenAndServe(addr, nil) }()
	}
}
`

// Builder builds what takes part.
type Builder struct {
	// Repository is the root of rawserve's source.
	Repository string
	// Cache is where binaries are kept from one run to the next.
	Cache string
	// Profile builds programs that serve profiles of themselves.
	Profile bool
	// Progress gets a line for each thing that takes time.
	Progress io.Writer
}

// Own builds rawserve's parts and the load's own.
func (b Builder) Own(ctx context.Context) (Binaries, error) {
	folder := b.folder("own")
	bins := Binaries{}
	for _, p := range []struct {
		name     binary
		dir, pkg string
		flags    []string
	}{
		// As the Makefile builds what goes into the image.
		{binActivator, b.Repository, "./cmd/activator", []string{"-tags=grpcnotrace", "-ldflags=-s -w"}},
		{binAgent, b.Repository, "./cmd/agent", []string{"-tags=grpcnotrace", "-ldflags=-s -w"}},
		{binProxy, filepath.Join(b.Repository, "e2e/load"), "./cmd/load-proxy", []string{"-ldflags=-s -w"}},
		{binBackend, filepath.Join(b.Repository, "e2e/load"), "./cmd/load-backend", nil},
		{binClient, filepath.Join(b.Repository, "e2e/load"), "./cmd/load-client", nil},
	} {
		profiled := b.Profile && p.name != binBackend && p.name != binClient
		out := filepath.Join(folder, string(p.name))
		if err := b.build(ctx, p.dir, p.pkg, out, profiled, p.flags...); err != nil {
			return nil, err
		}
		bins[p.name] = out
	}
	return bins, nil
}

// Knative builds Knative's parts, once for each version. Its module cannot be built in
// the cache of modules: the vendor folder that it comes with lacks what it needs.
func (b Builder) Knative(ctx context.Context) (Binaries, error) {
	folder := b.folder("knative-" + knativeVersion)
	bins := Binaries{binQueue: filepath.Join(folder, "queue"), binKnative: filepath.Join(folder, "activator")}
	if isFile(bins[binQueue]) && isFile(bins[binKnative]) && isFile(filepath.Join(folder, revisionCRD)) {
		return bins, nil
	}
	source := filepath.Join(b.Cache, "source-knative-"+knativeVersion)
	if err := b.knativeSource(ctx, source); err != nil {
		return nil, err
	}
	crd, err := os.ReadFile(filepath.Join(source, "config/core/300-resources/revision.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading Knative's definitions: %w", err)
	}
	for name, pkg := range map[binary]string{binQueue: "./cmd/queue", binKnative: "./cmd/activator"} {
		if err := b.build(ctx, source, pkg, bins[name], b.Profile, "-mod=mod", "-ldflags=-s -w"); err != nil {
			return nil, err
		}
	}
	// Last, for it says that all is there.
	if err := os.WriteFile(filepath.Join(folder, revisionCRD), crd, 0o644); err != nil {
		return nil, fmt.Errorf("writing Knative's definitions: %w", err)
	}
	return bins, nil
}

// revisionCRD is the name of the file with the definition of Knative's Revision.
const revisionCRD = "revision.yaml"

func (b Builder) knativeSource(ctx context.Context, source string) error {
	if isFile(filepath.Join(source, "go.mod")) {
		return nil
	}
	fmt.Fprintf(b.Progress, "downloading knative.dev/serving %s\n", knativeVersion)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "knative.dev/serving@"+knativeVersion)
	// Outside any module, whose go.mod it would otherwise want to know.
	cmd.Dir = os.TempDir()
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr == nil && module.Error != "" {
		err = errors.New(module.Error)
	}
	if err != nil {
		return fmt.Errorf("downloading knative.dev/serving %s: %w %s", knativeVersion, err, bytes.TrimSpace(complaints.Bytes()))
	}
	partial := source + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("removing an earlier copy: %w", err)
	}
	if err := os.CopyFS(partial, withoutVendor{os.DirFS(module.Dir)}); err != nil {
		return fmt.Errorf("copying Knative's source: %w", err)
	}
	return os.Rename(partial, source)
}

// build builds one program. With profiled it serves its profiles.
func (b Builder) build(ctx context.Context, dir, pkg, out string, profiled bool, flags ...string) error {
	fmt.Fprintf(b.Progress, "building %s\n", filepath.Base(out))
	args := append([]string{"build", "-trimpath", "-o", out}, flags...)
	if profiled {
		overlay, err := b.overlay(filepath.Join(dir, pkg))
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, output)
	}
	return nil
}

// overlay has go build see one more file in a folder, without writing into it.
func (b Builder) overlay(dir string) (string, error) {
	source := filepath.Join(b.Cache, "pprof.go")
	if err := os.WriteFile(source, []byte(pprofSource), 0o644); err != nil {
		return "", fmt.Errorf("writing the profiler's source: %w", err)
	}
	raw, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(dir, "zz_pprof.go"): source}})
	if err != nil {
		return "", fmt.Errorf("encoding the overlay: %w", err)
	}
	overlay := filepath.Join(b.Cache, "overlay.json")
	if err := os.WriteFile(overlay, raw, 0o644); err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	return overlay, nil
}

func (b Builder) folder(name string) string {
	if b.Profile {
		name += "-profiled"
	}
	return filepath.Join(b.Cache, name)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
