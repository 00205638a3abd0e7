package build

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// SourceVariable names the components folder where it cannot be found.
const SourceVariable = "RAWSERVE_CLUSTER_COMPONENTS"

const modulePath = "github.com/rawserve/rawserve/e2e/cluster"

// ErrNoSource says that the components folder was not found.
var ErrNoSource = errors.New("the folder e2e/cluster/components of the source tree was not found: run this inside the tree, or name the folder in " + SourceVariable)

// FindSource finds the components folder: Go's embedding stops at module
// boundaries, and each component is a module, so the files stay in the tree.
func FindSource() (string, error) {
	candidates := []string{os.Getenv(SourceVariable)}
	// The place this file was compiled from, unless the paths were trimmed.
	if _, file, _, ok := runtime.Caller(0); ok {
		candidates = append(candidates, filepath.Join(filepath.Dir(file), "..", "..", "components"))
	}
	if dir, err := os.Getwd(); err == nil {
		for ; dir != "/"; dir = filepath.Dir(dir) {
			candidates = append(candidates, filepath.Join(dir, "e2e", "cluster", "components"), filepath.Join(dir, "components"))
		}
	}
	for _, dir := range candidates {
		if isSource(dir) {
			return filepath.Abs(dir)
		}
	}
	// From another module of the tree that requires this one.
	out, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if dir := filepath.Join(strings.TrimSpace(string(out)), "components"); err == nil && isSource(dir) {
		return dir, nil
	}
	return "", ErrNoSource
}

func isSource(dir string) bool {
	if dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "kubernetes", "go.mod"))
	return err == nil
}

// DefaultFolder is where binaries are cached.
func DefaultFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		// A service has no home.
		return "/var/cache/rawserve", nil //nolint:nilerr // the folder is the answer to that
	}
	return filepath.Join(dir, "rawserve"), nil
}
