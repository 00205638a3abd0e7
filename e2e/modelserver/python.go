package modelserver

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/rawserve/rawserve/e2e/cluster/apt"
)

//go:embed probe.py
var probe string

// python is an interpreter of this machine.
type python struct {
	Version    []int    `json:"version"`
	Executable string   `json:"executable"`
	Stdlib     string   `json:"stdlib"`
	Missing    []string `json:"missing"`
}

// version is as in "3.11", the name of the library's folder.
func (p python) version() string { return fmt.Sprintf("%d.%d", p.Version[0], p.Version[1]) }

// fit says why the interpreter cannot be packed.
func (p python) fit() error {
	if len(p.Version) != 3 || p.Version[0] != 3 || p.Version[1] < 11 || p.Version[1] > 13 {
		return fmt.Errorf("is of version %v; 3.11, 3.12 or 3.13 is needed, for which all packages have wheels", p.Version)
	}
	if len(p.Missing) > 0 {
		return fmt.Errorf("lacks the modules %s", strings.Join(p.Missing, ", "))
	}
	return nil
}

// candidates are tried in order: the version that the packages were tried with first,
// and the system's before whatever the PATH begins with.
var candidates = []string{"/usr/bin/python3.11", "python3.11", "/usr/bin/python3.12", "python3.12", "/usr/bin/python3.13", "python3.13", "/usr/bin/python3", "python3"}

// debianPackages is what an interpreter of Debian needs to be packed.
var debianPackages = []string{"python3", "python3-pip", "libpython3-stdlib", "dash", "ca-certificates"}

// findPython finds an interpreter that can be packed.
func findPython(ctx context.Context, opts Options) (python, error) {
	names := candidates
	if opts.Python != "" {
		names = []string{opts.Python}
	}
	p, err := firstFit(ctx, names)
	if err == nil || opts.Python != "" {
		return p, err
	}
	if !opts.InstallDeps {
		return python{}, fmt.Errorf("%w\nNo Python here can be packed. On Debian or Ubuntu: apt-get install --no-install-recommends %s, or run this with --install-deps. Elsewhere name an interpreter with --python",
			err, strings.Join(debianPackages, " "))
	}
	say := func(format string, args ...any) { fmt.Fprintf(opts.Progress, format+"\n", args...) }
	if err := apt.Install(ctx, debianPackages, say); err != nil {
		return python{}, err
	}
	return firstFit(ctx, names)
}

func firstFit(ctx context.Context, names []string) (python, error) {
	var errs []error
	for _, name := range names {
		file, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		p, err := ask(ctx, file)
		if err == nil {
			err = p.fit()
		}
		if err == nil {
			return p, nil
		}
		errs = append(errs, fmt.Errorf("%s %w", file, err))
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("none of %s is installed", strings.Join(names, ", ")))
	}
	return python{}, errors.Join(errs...)
}

// ask runs the probe.
func ask(ctx context.Context, file string) (python, error) {
	out, err := exec.CommandContext(ctx, file, "-B", "-c", probe).Output()
	if err != nil {
		return python{}, fmt.Errorf("does not run: %w", err)
	}
	var p python
	if err := json.Unmarshal(out, &p); err != nil {
		return python{}, fmt.Errorf("gave an unreadable description of itself: %w", err)
	}
	return p, nil
}
