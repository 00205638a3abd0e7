package modelserver

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// collectLibraries adds every shared library of this machine that a program or library
// in the root needs, and the loader that the programs name.
func (p *packer) collectLibraries(ctx context.Context, root string) error {
	system, err := systemLibraries(ctx)
	if err != nil {
		return err
	}
	shell, err := findShell()
	if err != nil {
		return err
	}
	c := &closure{root: root, system: system, have: map[string]bool{}}
	if err := c.addTree(root); err != nil {
		return err
	}
	for _, program := range []string{p.python.Executable, shell} {
		if err := c.add(program); err != nil {
			return err
		}
	}
	// glibc loads these by name where they are not part of it: for users, for DNS.
	for _, name := range []string{"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"} {
		if file, ok := system[name]; ok {
			if err := c.take(name, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// closure follows the libraries that libraries need.
type closure struct {
	root   string
	system map[string]string
	have   map[string]bool // names in libPath, and names that are their package's own
}

// addTree follows everything in a folder.
func (c *closure) addTree(dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(d.Name(), ".so") {
			return err
		}
		return c.add(file)
	})
}

// add follows what one file needs. A file that is not ELF needs nothing.
func (c *closure) add(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || os.IsNotExist(err) {
			return nil
		}
		return nilIfShort(file, err)
	}
	defer f.Close()
	if err := c.loader(f); err != nil {
		return fmt.Errorf("taking the loader of %s: %w", file, err)
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("reading what %s needs: %w", file, err)
	}
	own := searchPath(f, filepath.Dir(file))
	for _, name := range needed {
		if err := c.need(name, file, own); err != nil {
			return err
		}
	}
	return nil
}

// nilIfShort forgives files too short to be anything, such as empty placeholders.
func nilIfShort(file string, err error) error {
	if info, statErr := os.Stat(file); statErr == nil && info.Size() < 64 {
		return nil
	}
	return fmt.Errorf("reading %s: %w", file, err)
}

func (c *closure) need(name, by string, own []string) error {
	for _, dir := range own {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err != nil {
			continue
		}
		if strings.HasPrefix(file, c.root+string(filepath.Separator)) {
			return nil // the package brought it, and finds it by its own run path
		}
		return c.take(name, file)
	}
	if file, ok := c.system[name]; ok {
		return c.take(name, file)
	}
	if c.inRoot(name) {
		return nil
	}
	return fmt.Errorf("%s needs the library %s, which this machine lacks; on Debian, apt-file search %s names its package", by, name, name)
}

// inRoot finds libraries that packages load before those that need them.
func (c *closure) inRoot(name string) bool {
	if known, ok := c.have[name]; ok {
		return known
	}
	found := false
	// Errors are as good as not finding it.
	_ = filepath.WalkDir(c.root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	c.have[name] = found
	return found
}

// take copies a library into libPath and follows it.
func (c *closure) take(name, file string) error {
	if c.have[name] {
		return nil
	}
	c.have[name] = true
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	if err := copyFile(real, filepath.Join(c.root, libPath, name), 0o755); err != nil {
		return err
	}
	return c.add(real)
}

// loader copies the program's loader to the place that the program names.
func (c *closure) loader(f *elf.File) error {
	for _, s := range f.Progs {
		if s.Type != elf.PT_INTERP {
			continue
		}
		raw := make([]byte, s.Filesz)
		if _, err := s.ReadAt(raw, 0); err != nil {
			return err
		}
		name := string(bytes.TrimRight(raw, "\x00"))
		to := filepath.Join(c.root, name)
		if _, err := os.Stat(to); err == nil {
			return nil
		}
		real, err := filepath.EvalSymlinks(name)
		if err != nil {
			return err
		}
		return copyFile(real, to, 0o755)
	}
	return nil
}

// searchPath is where a file wants its libraries looked for.
func searchPath(f *elf.File, origin string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			continue // no dynamic section
		}
		for _, v := range values {
			for _, dir := range strings.Split(v, ":") {
				dir = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(dir)
				if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs
}

// systemLibraries reads the loader's cache as name -> file.
func systemLibraries(ctx context.Context) (map[string]string, error) {
	ldconfig, err := exec.LookPath("ldconfig")
	if err != nil {
		ldconfig = "/sbin/ldconfig" // often not on the path of plain users
	}
	out, err := exec.CommandContext(ctx, ldconfig, "-p").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the system's libraries with ldconfig -p: %w; on Debian: apt-get install libc-bin", err)
	}
	return parseLibraries(out), nil
}

// parseLibraries reads lines such as
//
//	libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1
//
// of which the first for a name counts, as for the loader.
func parseLibraries(out []byte) map[string]string {
	libs := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		left, file, found := strings.Cut(lines.Text(), " => ")
		name, kind, _ := strings.Cut(strings.TrimSpace(left), " ")
		if !found || strings.Contains(kind, "x32") || strings.Contains(kind, "hwcap") || kind == "(libc6)" && !strings.Contains(file, "64") {
			continue
		}
		if _, known := libs[name]; !known {
			libs[name] = file
		}
	}
	return libs
}
