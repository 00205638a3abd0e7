// Command crdfix finishes the CRDs that controller-gen wrote: it relaxes what
// KServe's manifests rely on and the core types do not allow, narrows what the Go
// types could not read, and writes the result in a stable form. It fails rather
// than writing a CRD that would not reject misspelt fields, or would take what
// clients cannot read.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"
)

func main() {
	in := flag.String("in", "", "folder with controller-gen's CRDs")
	out := flag.String("out", "", "folder to write to")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "crdfix:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	files, err := filepath.Glob(filepath.Join(in, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", in, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("no CRD in %q: run controller-gen first", in)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("making the output folder: %w", err)
	}
	var wrote []string
	for _, file := range files {
		if err := fixFile(file, filepath.Join(out, filepath.Base(file))); err != nil {
			return fmt.Errorf("fixing %s: %w", filepath.Base(file), err)
		}
		wrote = append(wrote, filepath.Base(file))
	}
	return removeOthers(out, wrote)
}

func fixFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return err
	}
	if err := fix(crd); err != nil {
		return err
	}
	if err := fitToType(crd); err != nil {
		return err
	}
	fixed, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append([]byte("---\n"), fixed...), 0o644)
}

// removeOthers deletes CRDs that are no longer generated.
func removeOthers(out string, keep []string) error {
	files, err := filepath.Glob(filepath.Join(out, "*.*_*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if slices.Contains(keep, filepath.Base(file)) {
			continue
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing a stale CRD: %w", err)
		}
	}
	return nil
}
