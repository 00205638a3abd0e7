package image

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fileLayer is an uncompressed layer that lies in a file. The images of this
// repository go from one disk folder to another, where compressing them costs
// much more time than it saves.
type fileLayer struct {
	file string
	hash v1.Hash
	size int64
}

func (l fileLayer) Digest() (v1.Hash, error)             { return l.hash, nil }
func (l fileLayer) DiffID() (v1.Hash, error)             { return l.hash, nil }
func (l fileLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.file) }
func (l fileLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.file) }
func (l fileLayer) Size() (int64, error)                 { return l.size, nil }
func (l fileLayer) MediaType() (types.MediaType, error)  { return types.DockerUncompressedLayer, nil }

// writeLayer writes the entries as a tar file.
func writeLayer(ctx context.Context, entries Layer, file string) (fileLayer, error) {
	f, err := os.Create(file)
	if err != nil {
		return fileLayer{}, fmt.Errorf("making layer: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	w := &layerWriter{tar: tar.NewWriter(buffered), folders: map[string]bool{}}
	for _, e := range entries {
		if err := w.add(ctx, e); err != nil {
			return fileLayer{}, fmt.Errorf("adding %s: %w", e.Path, err)
		}
	}
	if err := w.tar.Close(); err != nil {
		return fileLayer{}, fmt.Errorf("ending layer: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fileLayer{}, fmt.Errorf("writing layer: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fileLayer{}, fmt.Errorf("measuring layer: %w", err)
	}
	return fileLayer{file, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, info.Size()}, nil
}

type layerWriter struct {
	tar *tar.Writer
	// folders are those already in the layer.
	folders map[string]bool
}

func (w *layerWriter) add(ctx context.Context, e Entry) error {
	target := path.Clean(e.Path)
	if err := w.parents(target); err != nil {
		return err
	}
	if e.From == "" {
		mode := e.Mode
		if mode == 0 {
			mode = 0o644
		}
		return w.text(target, e.Text, mode)
	}
	// Links are followed here only, so that a name such as "python3" may be given.
	from, err := filepath.EvalSymlinks(e.From)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(source string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		below, err := filepath.Rel(from, source)
		if err != nil {
			return err
		}
		return w.copy(source, path.Join(target, filepath.ToSlash(below)), entry)
	})
}

// parents adds the folders above a path: a layer without them gives them
// whatever owner and mode the reader likes.
func (w *layerWriter) parents(target string) error {
	dir := path.Dir(target)
	if dir == "/" || w.folders[dir] {
		return nil
	}
	if err := w.parents(dir); err != nil {
		return err
	}
	return w.folder(dir, 0o755)
}

func (w *layerWriter) folder(target string, mode fs.FileMode) error {
	if target == "/" || w.folders[target] {
		return nil
	}
	w.folders[target] = true
	return w.tar.WriteHeader(header(target+"/", tar.TypeDir, mode, 0))
}

func (w *layerWriter) text(target, text string, mode fs.FileMode) error {
	if err := w.tar.WriteHeader(header(target, tar.TypeReg, mode, int64(len(text)))); err != nil {
		return err
	}
	_, err := io.WriteString(w.tar, text)
	return err
}

func (w *layerWriter) copy(source, target string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case entry.IsDir():
		return w.folder(target, info.Mode())
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(source)
		if err != nil {
			return err
		}
		h := header(target, tar.TypeSymlink, 0o777, 0)
		h.Linkname = to
		return w.tar.WriteHeader(h)
	case info.Mode().IsRegular():
		return w.file(source, target, info)
	}
	return fmt.Errorf("%s is neither a file, a folder nor a link", source)
}

func (w *layerWriter) file(source, target string, info fs.FileInfo) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.tar.WriteHeader(header(target, tar.TypeReg, info.Mode(), info.Size())); err != nil {
		return err
	}
	_, err = io.Copy(w.tar, f)
	return err
}

// header leaves out what differs between machines: owners and times.
func header(target string, kind byte, mode fs.FileMode, size int64) *tar.Header {
	return &tar.Header{
		Typeflag: kind,
		Name:     strings.TrimPrefix(target, "/"),
		Mode:     int64(mode.Perm()) | specialBits(mode),
		Size:     size,
		ModTime:  epoch,
		Format:   tar.FormatPAX,
	}
}

// specialBits keeps the sticky bit of folders such as /tmp and set-id bits,
// which Go's mode holds elsewhere than tar's.
func specialBits(mode fs.FileMode) int64 {
	var bits int64
	if mode&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}
