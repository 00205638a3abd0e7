package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// kubeletSettings are those that every kubelet makes for the whole machine.
var kubeletSettings = map[string]string{
	"vm/overcommit_memory": "1",
	"kernel/panic":         "10",
	"kernel/panic_on_oops": "1",
}

// kernelFile holds the settings as they were before the first cluster. A reboot
// clears it together with the settings.
var kernelFile = filepath.Join(plan.RunRoot, "kernel.json")

// rememberKernelSettings is called before a kubelet starts.
func rememberKernelSettings() error {
	if _, err := os.Stat(kernelFile); err == nil {
		return nil
	}
	text, err := json.Marshal(readKernelSettings())
	if err != nil {
		return fmt.Errorf("remembering kernel settings: %w", err)
	}
	return writeFile(kernelFile, text, 0o644)
}

// restoreKernelSettings gives the machine back what kubelets changed, after the
// last cluster.
func restoreKernelSettings() error {
	text, err := os.ReadFile(kernelFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restoring kernel settings: %w", err)
	}
	var before map[string]string
	if err := json.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("restoring kernel settings: %s: %w", kernelFile, err)
	}
	restore := toRestore(before, readKernelSettings())
	for _, name := range slices.Sorted(maps.Keys(restore)) {
		if err := os.WriteFile("/proc/sys/"+name, []byte(restore[name]), 0); err != nil {
			return fmt.Errorf("restoring %s: %w", strings.ReplaceAll(name, "/", "."), err)
		}
	}
	return os.Remove(kernelFile)
}

// toRestore picks what a kubelet has changed. A setting that somebody else has
// changed since is theirs.
func toRestore(before, now map[string]string) map[string]string {
	restore := map[string]string{}
	for name, value := range before {
		if now[name] == kubeletSettings[name] && value != now[name] {
			restore[name] = value
		}
	}
	return restore
}

func readKernelSettings() map[string]string {
	values := map[string]string{}
	for name := range kubeletSettings {
		if text, err := os.ReadFile("/proc/sys/" + name); err == nil {
			values[name] = strings.TrimSpace(string(text))
		}
	}
	return values
}
