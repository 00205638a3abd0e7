package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// zipEncrypted is the flag bit of an entry that needs a password.
const zipEncrypted = 0x1

// zip unpacks a zip file by its directory. Each entry's checksum is verified by the
// reader at the entry's end.
func (u *unpacker) zip(file string) error {
	z, err := zip.OpenReader(file)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fmt.Errorf("reading the zip directory: %w", err)
	}
	defer z.Close()
	for _, f := range z.File {
		if err := u.zipEntry(f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipEntry(f *zip.File) error {
	name, wanted, err := u.admit(f.Name)
	if err != nil || !wanted {
		return err
	}
	mode := f.Mode()
	switch {
	case mode.IsDir():
		return u.folder(name)
	case mode&fs.ModeType != 0 && mode&fs.ModeSymlink == 0:
		return fmt.Errorf("the entry %q is of type %s: only files, folders and links may be in a model archive", f.Name, mode.Type())
	case !u.keep(name):
		return nil
	case f.Flags&zipEncrypted != 0:
		return fmt.Errorf("the entry %q is encrypted; pack the model without a password", f.Name)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("opening the entry %q: %w", f.Name, err)
	}
	defer r.Close()
	if mode&fs.ModeSymlink == 0 {
		return u.file(name, mode, r)
	}
	target, err := io.ReadAll(io.LimitReader(r, maxNameLength+1))
	if err != nil {
		return fmt.Errorf("reading the link %q: %w", f.Name, err)
	}
	return u.symlink(name, string(target))
}
