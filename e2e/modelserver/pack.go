package modelserver

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/rawserve/rawserve/e2e/cluster/image"
)

var (
	//go:embed requirements.txt
	requirements string
	//go:embed train_iris.py
	trainIris string
)

// layout changes whenever the code of this package packs differently, so that a cache
// of an older version is not used.
const layout = "1"

// Packed is a packed model server in the cache.
type Packed struct{ dir string }

// Root is the image's root file system as a folder.
func (p Packed) Root() string { return filepath.Join(p.dir, "root") }

// Models holds what the store serves.
func (p Packed) Models() string { return filepath.Join(p.dir, "models") }

// Archive is the server's image.
func (p Packed) Archive() string { return filepath.Join(p.dir, "mlserver.tar") }

// Pack packs the model server and trains the model, or finds both in the cache.
func Pack(ctx context.Context, opts Options) (Packed, error) {
	cache, err := cacheFolder(opts)
	if err != nil {
		return Packed{}, err
	}
	python, err := findPython(ctx, opts)
	if err != nil {
		return Packed{}, err
	}
	unlock, err := lock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return Packed{}, err
	}
	defer unlock()
	done := Packed{dir: filepath.Join(cache, cacheKey(python))}
	if _, err := os.Stat(done.Archive()); err == nil {
		fmt.Fprintln(opts.Progress, "the model server is packed already:", done.dir)
		return done, nil
	}
	scratch, err := os.MkdirTemp(cache, ".packing-")
	if err != nil {
		return Packed{}, fmt.Errorf("packing the model server: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil {
		return Packed{}, fmt.Errorf("packing the model server: %w", err)
	}
	if err := (&packer{opts: opts, python: python, to: Packed{dir: scratch}}).run(ctx); err != nil {
		return Packed{}, fmt.Errorf("packing the model server: %w", err)
	}
	// A folder without an archive is what an interrupted removal left.
	if err := errors.Join(os.RemoveAll(done.dir), os.Rename(scratch, done.dir)); err != nil {
		return Packed{}, fmt.Errorf("keeping the packed model server: %w", err)
	}
	return done, nil
}

func cacheFolder(opts Options) (string, error) {
	dir := opts.Cache
	if dir == "" {
		base, err := os.UserCacheDir() // XDG_CACHE_HOME or ~/.cache
		if err != nil {
			return "", fmt.Errorf("finding the cache: %w; name a folder with --cache", err)
		}
		dir = filepath.Join(base, "rawserve", "modelserver")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	return filepath.Abs(dir)
}

// cacheKey names a folder by everything that decides about its content.
func cacheKey(p python) string {
	raw, err := json.Marshal([]any{layout, requirements, trainIris, p.Version, p.Executable, runtime.GOARCH})
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// lock makes a second build wait for the first instead of packing the same once more.
func lock(ctx context.Context, file string) (release func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking the cache: %w", err), f.Close())
		}
		return func() { _ = f.Close() }, nil // closing unlocks
	case <-ctx.Done():
		// The goroutine ends with the other build; the lock it may get is let go then.
		go func() {
			<-locked //nolint:errcheck // the lock is let go either way
			_ = f.Close()
		}()
		return nil, ctx.Err()
	}
}

// packer packs one server into a scratch folder.
type packer struct {
	opts   Options
	python python
	to     Packed
}

func (p *packer) say(format string, args ...any) {
	fmt.Fprintf(p.opts.Progress, format+"\n", args...)
}

func (p *packer) run(ctx context.Context) error {
	root := p.to.Root()
	steps := []struct {
		name string
		do   func(context.Context, string) error
	}{
		{"installing the packages of requirements.txt", p.installPackages},
		{"copying the interpreter " + p.python.Executable, p.copyPython},
		{"collecting shared libraries", p.collectLibraries},
		{"writing the system's files", p.writeSystem},
		{"training the model", p.train},
		{"compiling", p.compile},
		{"writing the image", p.writeImage},
	}
	for _, s := range steps {
		p.say("%s", s.name)
		if err := s.do(ctx, root); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// installPackages installs wheels only, each checked against its hash.
func (p *packer) installPackages(ctx context.Context, root string) error {
	list := filepath.Join(p.to.dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(requirements), 0o644); err != nil {
		return err
	}
	site := filepath.Join(root, sitePath)
	if err := p.command(ctx, p.python.Executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore",
		"--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile", "--target", site, "-r", list); err != nil {
		return fmt.Errorf("%w; is the package index reachable, and does it have wheels for Python %s?", err, p.python.version())
	}
	return prune(site)
}

// train runs the training script with the packed packages.
func (p *packer) train(ctx context.Context, root string) error {
	iris := filepath.Join(p.to.Models(), "iris")
	if err := os.MkdirAll(iris, 0o755); err != nil {
		return err
	}
	script := filepath.Join(p.to.dir, "train_iris.py")
	if err := os.WriteFile(script, []byte(trainIris), 0o644); err != nil {
		return err
	}
	if err := p.command(ctx, p.python.Executable, "-B", script, iris); err != nil {
		return err
	}
	return packArchive(filepath.Join(p.to.Models(), "iris.tar.gz"), iris, "model.joblib")
}

// compile makes the byte code that a read-only image can never write: it cuts the
// server's start to a third. The files' times are lost in the image, so the byte code
// is marked as never to be checked against them.
func (p *packer) compile(ctx context.Context, root string) error {
	return p.command(ctx, p.python.Executable, "-m", "compileall", "-q", "-j", "0",
		"--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/",
		filepath.Join(root, sitePath), filepath.Join(root, homePath, "lib"))
}

func (p *packer) writeImage(ctx context.Context, root string) error {
	return image.Write(ctx, image.Spec{
		Reference: ServerImage, User: "1000:1000", WorkingDir: "/",
		// No entrypoint, as in MLServer's own image: a runtime's args replace all of it.
		Command: []string{"/bin/sh", "-c", `exec mlserver start "${MLSERVER_MODELS_DIR:-/mnt/models}"`},
		Env:     environment(),
		Layers:  []image.Layer{{{Path: "/", From: root}}},
	}, p.to.Archive())
}

// command runs a program with the packed packages on its path.
func (p *packer) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(p.to.Root(), sitePath), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, tail(out))
	}
	return nil
}

// tail is the end of an output, where the reason is.
func tail(out []byte) []byte {
	const most = 4000
	if len(out) > most {
		return out[len(out)-most:]
	}
	return out
}
