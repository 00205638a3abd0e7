package stage

import (
	"io/fs"
	"slices"
)

// withoutVendor is a module's files without its vendor folder.
type withoutVendor struct{ fs.FS }

// ReadDir leaves the vendor folder out at the top.
func (w withoutVendor) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.FS, name)
	if name == "." {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "vendor" })
	}
	return entries, err //nolint:wrapcheck // the file system's own
}
