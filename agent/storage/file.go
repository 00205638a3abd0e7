package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rawserve/rawserve/agent/storage/archive"
)

// file and localPath are a file or folder that is mounted into the init container.
var (
	file      = scheme{example: "file:///path", matches: bySchemes("file"), fetch: fetchFile}
	localPath = scheme{example: "/path", matches: func(u uri) bool { return u.scheme == "" && strings.HasPrefix(u.raw, "/") }, fetch: fetchFile}
)

// fetchFile copies. A link, as KServe makes, would lead nowhere in the model server's
// container, which need not have the same volume.
func fetchFile(ctx context.Context, in *Initializer, j job) error {
	src, err := localSource(j.uri)
	if err != nil {
		return err
	}
	info, err := os.Stat(src)
	if err != nil {
		return fmt.Errorf("reading the source: %w; is its volume mounted into the storage-initializer?", err)
	}
	if kind := archive.KindOfName(src); info.Mode().IsRegular() && kind != archive.None {
		return in.unpack(ctx, j, src, kind)
	}
	real, err := filepath.EvalSymlinks(src)
	if err != nil {
		return err
	}
	dest, err := filepath.EvalSymlinks(j.Dest)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(real, dest); err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("the source %s holds the destination %s; choose another folder", src, j.Dest)
	}
	c := &copier{ctx: ctx, settings: in.opts.Settings, dest: j.Dest}
	if !info.IsDir() {
		err = c.file(src, filepath.Base(src), info)
	} else {
		err = c.folder(src, ".", nil)
	}
	if err != nil {
		return err
	}
	if c.files == 0 {
		return errors.New("the source has no file for the model; check STORAGE_ALLOW_PATTERNS, STORAGE_IGNORE_PATTERNS and the path")
	}
	in.opts.Log.Info("copied", "files", c.files, "bytes", c.bytes)
	return nil
}

func localSource(u uri) (string, error) {
	if u.url == nil {
		return filepath.Clean(u.raw), nil
	}
	if u.url.Host != "" && u.url.Host != "localhost" {
		return "", fmt.Errorf("the URI names the host %q; write file:///path with three slashes", u.url.Host)
	}
	if u.url.Path == "" {
		return "", errors.New("the URI names no path; write file:///path")
	}
	return filepath.Clean(u.url.Path), nil
}

// copier copies a tree, following links: a mounted ConfigMap is made of links.
type copier struct {
	ctx      context.Context // ctx of the one copy this value lives for
	settings Settings
	dest     string
	files    int
	bytes    int64
}

// folder copies what is in src. above holds the real paths of the folders that led
// here, by which a link to one of them is found out.
func (c *copier) folder(src, rel string, above []string) error {
	real, err := filepath.EvalSymlinks(src)
	if err != nil {
		return fmt.Errorf("following %s: %w", src, err)
	}
	if slices.Contains(above, real) {
		return fmt.Errorf("the folder %s leads back to itself through a link", src)
	}
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// "..data" and its like are how kubelet swaps mounted files, not files.
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		if err := c.entry(src, path.Join(rel, e.Name()), append(above, real)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(dir, rel string, above []string) error {
	src := filepath.Join(dir, path.Base(rel))
	info, err := os.Stat(src)
	if err != nil {
		return fmt.Errorf("following %s: %w", src, err)
	}
	if info.IsDir() {
		return c.folder(src, rel, above)
	}
	if !c.settings.Patterns.Keep(rel) {
		return nil
	}
	return c.file(src, rel, info)
}

func (c *copier) file(src, rel string, info fs.FileInfo) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is of type %s: only files and folders can be a model", src, info.Mode().Type())
	}
	if c.bytes += info.Size(); c.settings.MaxBytes > 0 && c.bytes > c.settings.MaxBytes {
		return fmt.Errorf("the source has more than the %d bytes allowed by STORAGE_MAX_BYTES", c.settings.MaxBytes)
	}
	to := filepath.Join(c.dest, filepath.FromSlash(rel))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	c.files++
	return copyFile(src, to, 0o644|info.Mode().Perm()&0o111)
}

func copyFile(from, to string, perm fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
