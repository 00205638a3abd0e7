package modelserver

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Places in the image. The interpreter finds its library by its own place, so any
// interpreter can be moved to homePath. Libraries have a folder of their own, which
// LD_LIBRARY_PATH names: loaders differ between distributions in where they look.
const (
	homePath = "/opt/python"
	sitePath = "/opt/site"
	libPath  = "/opt/lib"
)

// environment is the image's. Everything MLServer writes goes below /tmp, since the
// root may be read-only and its user is nobody special.
func environment() []string {
	return []string{
		"PATH=/opt/python/bin:/usr/bin:/bin",
		"LD_LIBRARY_PATH=" + libPath,
		"PYTHONPATH=" + sitePath,
		"PYTHONDONTWRITEBYTECODE=1",
		"PYTHONUNBUFFERED=1",
		"HOME=/tmp",
		"LANG=C.UTF-8",
		"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
		"MLSERVER_MODELS_DIR=/mnt/models",
		"MLSERVER_METRICS_DIR=/tmp/metrics",
		"MLSERVER_ENVIRONMENTS_DIR=/tmp/envs",
		// Workers take seconds to start and buy nothing for a model of this size.
		"MLSERVER_PARALLEL_WORKERS=0",
	}
}

// skipStdlib are parts of the standard library that no server needs.
var skipStdlib = []string{"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "dist-packages", "__pycache__"}

// copyPython copies the interpreter and its library.
func (p *packer) copyPython(ctx context.Context, root string) error {
	home, name := filepath.Join(root, homePath), "python"+p.python.version()
	if err := copyFile(p.python.Executable, filepath.Join(home, "bin", name), 0o755); err != nil {
		return err
	}
	for _, link := range []string{"python3", "python"} {
		if err := os.Symlink(name, filepath.Join(home, "bin", link)); err != nil {
			return err
		}
	}
	return copyTree(ctx, p.python.Stdlib, filepath.Join(home, "lib", name), func(name string, dir bool) bool {
		return dir && (slices.Contains(skipStdlib, name) || strings.HasPrefix(name, "config-"))
	})
}

// prunedPackages have tests that make up a tenth of the image.
var prunedPackages = []string{"numpy", "scipy", "sklearn", "pandas", "joblib"}

// prune removes what the packages bring for their own developers.
func prune(site string) error {
	for _, name := range prunedPackages {
		err := filepath.WalkDir(filepath.Join(site, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || d.Name() != "tests" && d.Name() != "test" {
				return err
			}
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		})
		if err != nil {
			return fmt.Errorf("removing the tests of %s: %w", name, err)
		}
	}
	return os.RemoveAll(filepath.Join(site, "bin")) // scripts that name this machine's Python
}

// mlserverScript is MLServer's command for any place of the interpreter.
const mlserverScript = `#!/opt/python/bin/python3
import sys
from mlserver.cli import main
sys.exit(main())
`

// writeSystem writes the few files a root needs: users, names, a shell.
func (p *packer) writeSystem(_ context.Context, root string) error {
	for name, text := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/:/bin/sh\ndefault:x:1000:1000:model server:/tmp:/bin/sh\n",
		"etc/group":         "root:x:0:\ndefault:x:1000:\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		if err := writeFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(root, "opt/python/bin/mlserver"), mlserverScript, 0o755); err != nil {
		return err
	}
	shell, err := findShell()
	if err != nil {
		return err
	}
	if err := copyFile(shell, filepath.Join(root, "bin/sh"), 0o755); err != nil {
		return err
	}
	for _, bundle := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if _, err := os.Stat(bundle); err == nil {
			if err := copyFile(bundle, filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), 0o644); err != nil {
				return err
			}
			break
		}
	}
	for dir, mode := range map[string]fs.FileMode{"mnt/models": 0o755, "tmp": 0o777 | fs.ModeSticky, "proc": 0o755, "dev": 0o755, "sys": 0o755} {
		path := filepath.Join(root, dir)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	return nil
}

// findShell finds the smallest shell there is; what it links is collected as well.
func findShell() (string, error) {
	for _, name := range []string{"dash", "sh"} {
		if file, err := exec.LookPath(name); err == nil {
			return filepath.EvalSymlinks(file)
		}
	}
	return "", errors.New("no shell was found; on Debian: apt-get install dash")
}

func writeFile(file, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), mode)
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// copyTree copies a folder. Links to files become files, for they may lead out of the
// folder, as Debian's sitecustomize.py does; links that lead nowhere are left out.
func copyTree(ctx context.Context, from, to string, skip func(name string, dir bool) bool) error {
	return filepath.WalkDir(from, func(source string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, source)
		if err != nil {
			return err
		}
		if rel != "." && skip(d.Name(), d.IsDir()) {
			return fs.SkipDir
		}
		info, err := os.Stat(source)
		if err != nil || d.IsDir() || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a link that leads nowhere is left out
		}
		return copyFile(source, filepath.Join(to, rel), 0o644|info.Mode().Perm()&0o111)
	})
}

// packArchive writes a tar.gz of the named files of a folder, without owner or time.
func packArchive(to, folder string, names ...string) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z := gzip.NewWriter(out)
	w := tar.NewWriter(z)
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), z.Close())
}
