package cluster

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// keptFile is where an archive of images of those names is kept. Another archive
// of the same names takes its place.
func keptFile(dir string, references []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(references)), "\n")))
	return filepath.Join(dir, hex.EncodeToString(sum[:8])+".tar")
}

// keep has an archive written and puts it in its place in one step.
func keep(file string, write func(file string) error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(file), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, filepath.Base(file))
	if err := write(made); err != nil {
		return err
	}
	// kept goes by it, and the clock of files is coarse.
	now := time.Now()
	if err := os.Chtimes(made, now, now); err != nil {
		return err
	}
	return os.Rename(made, file)
}

// kept lists the archives in the order in which they were loaded: where two hold
// an image of the same name, that of the later one counts.
func kept(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for loaded images: %w", err)
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".tar" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("looking for loaded images: %w", err)
		}
		files = append(files, info)
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	paths := make([]string, 0, len(files))
	for _, f := range files {
		paths = append(paths, filepath.Join(dir, f.Name()))
	}
	return paths, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
