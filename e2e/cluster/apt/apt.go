// Package apt installs packages on Debian and its relatives. Whether that may be
// done, and what is missing, is the caller's business.
package apt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Install installs packages with apt-get. The lists of packages may be old or, on a
// fresh machine, missing: what does not work at first is tried again after an
// update. say tells a person what happens.
func Install(ctx context.Context, packages []string, say func(format string, args ...any)) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("installing %s: this machine has no apt-get; install them its own way", strings.Join(packages, " "))
	}
	say("installing %s", strings.Join(packages, " "))
	install := append([]string{"install", "--yes", "--no-install-recommends"}, packages...)
	first := run(ctx, apt, install)
	if first == nil {
		return nil
	}
	say("bringing the lists of packages up to date: %v", first)
	if err := run(ctx, apt, []string{"update"}); err != nil {
		return err
	}
	return run(ctx, apt, install)
}

// lastBytes of what apt-get says are shown with an error.
const lastBytes = 1000

func run(ctx context.Context, apt string, args []string) error {
	cmd := exec.CommandContext(ctx, apt, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	out = bytes.TrimSpace(out)
	return fmt.Errorf("running apt-get %s: %w: %s", strings.Join(args, " "), err, out[max(0, len(out)-lastBytes):])
}
