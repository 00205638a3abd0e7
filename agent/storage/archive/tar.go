package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// tar unpacks a tar file as a stream.
func (u *unpacker) tar(file string, compressed bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	if compressed {
		z, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("reading the gzip header: %w", err)
		}
		defer z.Close()
		r = z
	}
	if err := u.tarEntries(tar.NewReader(r)); err != nil {
		return err
	}
	// The tar ends before the gzip does; reading on checks gzip's own checksum. The
	// padding counts against the bound like a file.
	if _, err := u.copy(io.Discard, r); err != nil {
		return fmt.Errorf("reading the end of the archive: %w", err)
	}
	return nil
}

func (u *unpacker) tarEntries(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading entry %d: %w", u.entries+1, err)
		}
		if err := u.tarEntry(h, r); err != nil {
			return err
		}
	}
}

func (u *unpacker) tarEntry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // git archive writes one; it is no file
	}
	name, wanted, err := u.admit(h.Name)
	if err != nil || !wanted {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		if u.keep(name) {
			return u.file(name, h.FileInfo().Mode(), r)
		}
	case tar.TypeSymlink:
		if u.keep(name) {
			return u.symlink(name, h.Linkname)
		}
	case tar.TypeLink:
		if u.keep(name) {
			return u.hardlink(name, h.Linkname)
		}
	default:
		return fmt.Errorf("the entry %q is of type %q: only files, folders and links may be in a model archive", h.Name, h.Typeflag)
	}
	return nil
}
