package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// Options say where and how far to unpack.
type Options struct {
	// Dest is the folder to fill; it must exist.
	Dest string
	// Keep reports which files are wanted, by their clean name; nil keeps all.
	Keep func(name string) bool
	// Reserved is a first path element that no entry may use; "" reserves none.
	Reserved string
	// MaxBytes bounds the sum of the unpacked sizes; 0 is no bound.
	MaxBytes int64
	// MaxEntries bounds the number of entries; 0 is no bound.
	MaxEntries int
}

// Summary says what was unpacked.
type Summary struct {
	Files   int
	Bytes   int64
	Skipped int
}

// ErrTooLarge is wrapped where an archive exceeds a bound of the options.
var ErrTooLarge = errors.New("the archive is larger than allowed")

// Unpack unpacks the archive file of that kind. Files that exist are replaced, so
// unpacking again after a crash ends in the same state.
func Unpack(ctx context.Context, file string, kind Kind, opts Options) (Summary, error) {
	root, err := os.OpenRoot(opts.Dest)
	if err != nil {
		return Summary{}, fmt.Errorf("opening the destination: %w", err)
	}
	defer root.Close()
	u := &unpacker{ctx: ctx, root: root, opts: opts}
	switch kind {
	case Tar, TarGzip:
		err = u.tar(file, kind == TarGzip)
	case Zip:
		err = u.zip(file)
	default:
		err = fmt.Errorf("unknown kind of archive %q", kind)
	}
	if err == nil {
		err = u.makeLinks()
	}
	return u.done, err
}

// unpacker writes entries below root. os.Root refuses every path that leaves it,
// whatever links an earlier run or entry has left there.
type unpacker struct {
	ctx     context.Context // ctx of the one Unpack call this value lives for
	root    *os.Root
	opts    Options
	done    Summary
	entries int
	links   []link
}

type link struct{ name, target string }

// admit counts an entry and cleans its name; wanted is false for one to skip.
func (u *unpacker) admit(raw string) (name string, wanted bool, err error) {
	if err := u.ctx.Err(); err != nil {
		return "", false, err
	}
	u.entries++
	if u.opts.MaxEntries > 0 && u.entries > u.opts.MaxEntries {
		return "", false, fmt.Errorf("%w: more than %d entries", ErrTooLarge, u.opts.MaxEntries)
	}
	name, err = CleanName(raw)
	if err != nil {
		return "", false, err
	}
	if name == "." {
		return name, false, nil
	}
	if u.opts.Reserved != "" && firstElement(name) == u.opts.Reserved {
		return "", false, fmt.Errorf("the entry %q uses the reserved name %q", raw, u.opts.Reserved)
	}
	return name, true, nil
}

// keep reports whether a file or link is wanted by the patterns.
func (u *unpacker) keep(name string) bool {
	if u.opts.Keep == nil || u.opts.Keep(name) {
		return true
	}
	u.done.Skipped++
	return false
}

func firstElement(name string) string {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i]
		}
	}
	return name
}

// folder makes a folder that the archive lists. With patterns it is left to the
// files in it: an empty folder that nobody asked for would confuse model servers
// which list the model's folder.
func (u *unpacker) folder(name string) error {
	if u.opts.Keep != nil {
		return nil
	}
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return fmt.Errorf("making the folder %q: %w", name, err)
	}
	return nil
}

// file writes one regular file of any length, within the bound of the options.
func (u *unpacker) file(name string, mode fs.FileMode, r io.Reader) error {
	if err := u.clear(name); err != nil {
		return err
	}
	// The model server may run as another user: everybody may read.
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return fmt.Errorf("creating %q: %w", name, err)
	}
	n, err := u.copy(f, r)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("unpacking %q: %w", name, err)
	}
	u.done.Files++
	u.done.Bytes += n
	return nil
}

// clear makes room for an entry: its folder exists and nothing has its name. Without
// the removal a later entry could write through a hard link into an earlier one.
func (u *unpacker) clear(name string) error {
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the folder of %q: %w", name, err)
		}
	}
	if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replacing %q: %w", name, err)
	}
	return nil
}

// chunk is how much is copied between two looks at the context.
const chunk = 8 << 20

func (u *unpacker) copy(w io.Writer, r io.Reader) (int64, error) {
	var written int64
	for {
		if err := u.ctx.Err(); err != nil {
			return written, err
		}
		limit := int64(chunk)
		if u.opts.MaxBytes > 0 {
			// One byte more than is left shows that the bound is exceeded.
			limit = min(limit, u.opts.MaxBytes-u.done.Bytes-written+1)
		}
		n, err := io.CopyN(w, r, limit)
		written += n
		if u.opts.MaxBytes > 0 && u.done.Bytes+written > u.opts.MaxBytes {
			return written, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, u.opts.MaxBytes)
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// symlink remembers a link. Links are made last, so that no entry is ever written
// through one.
func (u *unpacker) symlink(name, target string) error {
	target, err := CleanLink(name, target)
	if err != nil {
		return err
	}
	u.links = append(u.links, link{name: name, target: target})
	return nil
}

// hardlink makes a second name for a file unpacked before.
func (u *unpacker) hardlink(name, target string) error {
	target, err := CleanName(target)
	if err != nil {
		return fmt.Errorf("the target of the link %q: %w", name, err)
	}
	if target == name {
		return fmt.Errorf("the link %q is its own target", name)
	}
	if err := u.clear(name); err != nil {
		return err
	}
	if err := u.root.Link(target, name); err != nil {
		return fmt.Errorf("linking %q to %q: %w", name, target, err)
	}
	u.done.Files++
	return nil
}

// makeLinks makes the symbolic links and then follows each. Names alone do not tell
// where a chain of links leads: with a/s -> "..", the link a/s/t lies at the top, and
// its innocent looking target "../../x" is outside. os.Root follows them and refuses
// to leave.
func (u *unpacker) makeLinks() error {
	for _, l := range u.links {
		if err := u.clear(l.name); err != nil {
			return err
		}
		if err := u.root.Symlink(l.target, l.name); err != nil {
			return fmt.Errorf("making the link %q: %w", l.name, err)
		}
	}
	for _, l := range u.links {
		_, err := u.root.Stat(l.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			u.dropLinks()
			return fmt.Errorf("the link %q to %q does not stay within the model's folder: %w", l.name, l.target, err)
		}
		if err == nil {
			u.done.Files++
		}
	}
	return nil
}

// dropLinks removes the links, the last first: one may have been made through another.
func (u *unpacker) dropLinks() {
	for _, l := range slices.Backward(u.links) {
		// Best effort: the unpacking has failed already and is reported as such.
		_ = u.root.Remove(l.name)
	}
}
