// Package archive unpacks a downloaded tar or zip file into a folder. An archive is
// never trusted: nothing is written outside of the folder, no link leads out of it,
// no device or pipe is made, and the unpacked size is bounded. Callers download the
// file first and remove it afterwards.
package archive

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxNameLength is Linux' PATH_MAX: no longer name can be opened anyway.
const maxNameLength = 4096

// CleanName turns the name of an archive's entry into a clean relative path, or
// returns an error for a name that has no business in a model: an absolute one, one
// that climbs with "..", or one that cannot be a file name. The result is "." for
// the archive's own root, such as "./".
//
// A backslash counts as a separator when ".." is looked for, because some tools
// write Windows names, but stays part of the name: on Linux it is a plain character.
func CleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("the entry has an empty name")
	case len(name) > maxNameLength:
		return "", fmt.Errorf("the entry %.40q… has a name of %d bytes, more than %d", name, len(name), maxNameLength)
	case strings.IndexByte(name, 0) >= 0:
		return "", fmt.Errorf("the entry %q has a zero byte in its name", name)
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, `\`):
		return "", fmt.Errorf("the entry %q has an absolute name", name)
	}
	for _, element := range strings.FieldsFunc(name, isSeparator) {
		if element == ".." {
			return "", fmt.Errorf(`the entry %q climbs out of its folder with ".."`, name)
		}
	}
	return path.Clean(name), nil
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

// CleanLink checks the target of a symbolic link called name (clean, as CleanName
// returns it) and returns the target to store. Absolute targets and targets that
// lead above the archive's root are refused. This reads the names only; that a chain
// of links leads nowhere else is checked against the file system when all are made.
func CleanLink(name, target string) (string, error) {
	switch {
	case target == "" || strings.IndexByte(target, 0) >= 0 || len(target) > maxNameLength:
		return "", fmt.Errorf("the link %q has an unusable target", name)
	case strings.HasPrefix(target, "/"):
		return "", fmt.Errorf("the link %q has the absolute target %q", name, target)
	}
	if climbsAfterName(target) {
		return "", fmt.Errorf(`the link %q has the target %q with ".." after a name, which other links can bend`, name, target)
	}
	resolved := path.Join(path.Dir(name), target)
	if resolved == ".." || strings.HasPrefix(resolved, "../") {
		return "", fmt.Errorf("the link %q leads out of the model's folder to %q", name, target)
	}
	return path.Clean(target), nil
}

// climbsAfterName reports whether a ".." follows a proper name, as in "s/../x": where
// s is itself a link, that is not where the names say.
func climbsAfterName(target string) bool {
	named := false
	for _, element := range strings.FieldsFunc(target, isSeparator) {
		if element == ".." && named {
			return true
		}
		named = named || element != "." && element != ".."
	}
	return false
}
