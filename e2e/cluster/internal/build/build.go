package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// Cache builds binaries into a folder, and finds them there afterwards.
type Cache struct {
	// Folder is where binaries are kept.
	Folder string
	// Source is the components folder.
	Source string
	// Progress is told what happens; nil tells nobody.
	Progress *Progress
}

// item is a binary with the place it is kept in.
type item struct {
	module  Module
	binary  Binary
	version string
	file    string
	ldflags string
}

// Missing names the binaries that would have to be built.
func (c Cache) Missing() ([]string, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, it := range missing(items) {
		names = append(names, it.binary.Name)
	}
	return names, nil
}

// Ensure builds what is missing and maps each binary's name to its file. Only
// one process builds at a time; the others wait for it and find the results.
// Given names, it cares for these alone.
func (c Cache) Ensure(ctx context.Context, names ...string) (map[string]string, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if items, err = only(items, names); err != nil {
		return nil, err
	}
	if len(missing(items)) > 0 {
		if err := c.buildMissing(ctx, items); err != nil {
			return nil, err
		}
	}
	files := map[string]string{}
	for _, it := range items {
		files[it.binary.Name] = it.file
	}
	return files, nil
}

// only keeps the binaries of the given names; without names all of them.
func only(items []item, names []string) ([]item, error) {
	if len(names) == 0 {
		return items, nil
	}
	var kept []item
	for _, name := range names {
		i := slices.IndexFunc(items, func(it item) bool { return it.binary.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no binary %q to build", name)
		}
		kept = append(kept, items[i])
	}
	return kept, nil
}

func (c Cache) buildMissing(ctx context.Context, items []item) error {
	if err := os.MkdirAll(c.Folder, 0o755); err != nil {
		return fmt.Errorf("making cache: %w", err)
	}
	lock := filepath.Join(c.Folder, "lock")
	unlock, err := Lock(ctx, lock, func() { c.Progress.Say("waiting for another build to finish (lock %s)", lock) })
	if err != nil {
		return fmt.Errorf("waiting for another build: %w", err)
	}
	defer unlock()
	// Another process may have built them while this one waited.
	todo := missing(items)
	for i, it := range todo {
		done := c.Progress.Start(fmt.Sprintf("building %s %s (%d of %d)", it.binary.Name, it.version, i+1, len(todo)))
		err := c.build(ctx, it)
		done(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// items lists all binaries with the files they are kept in: the folder's name
// holds a hash of all that goes into a build and can be changed by an edit.
func (c Cache) items() ([]item, error) {
	var items []item
	for _, m := range Modules {
		source := filepath.Join(c.Source, m.Folder)
		goMod, err := os.ReadFile(filepath.Join(source, "go.mod"))
		if err != nil {
			return nil, fmt.Errorf("finding component %s: %w", m.Folder, err)
		}
		version, err := m.version(string(goMod))
		if err != nil {
			return nil, err
		}
		ldflags := m.ldflags(version)
		sum, err := hashSource(source, ldflags)
		if err != nil {
			return nil, err
		}
		folder := filepath.Join(c.Folder, "bin", m.Folder+"-"+version+"-"+sum[:12])
		for _, b := range m.Binaries {
			items = append(items, item{m, b, version, filepath.Join(folder, b.Name), ldflags})
		}
	}
	return items, nil
}

func hashSource(folder, ldflags string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.GOOS, runtime.GOARCH, ldflags)
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return "", err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("reading component: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(name), len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func missing(items []item) []item {
	var todo []item
	for _, it := range items {
		if _, err := os.Stat(it.file); errors.Is(err, fs.ErrNotExist) {
			todo = append(todo, it)
		}
	}
	return todo
}

// build compiles one binary. It is put in its place in one step, so that a
// build that was interrupted leaves nothing that looks finished.
func (c Cache) build(ctx context.Context, it item) error {
	if err := os.MkdirAll(filepath.Dir(it.file), 0o755); err != nil {
		return fmt.Errorf("making cache: %w", err)
	}
	unfinished := it.file + ".unfinished"
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath",
		"-ldflags", it.ldflags, "-o", unfinished, it.binary.Package)
	cmd.Dir = filepath.Join(c.Source, it.module.Folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w: %s", it.binary.Name, err, lastBytes(out, 2000))
	}
	return os.Rename(unfinished, it.file)
}

func lastBytes(text []byte, n int) []byte {
	text = bytes.TrimSpace(text)
	return text[max(0, len(text)-n):]
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
