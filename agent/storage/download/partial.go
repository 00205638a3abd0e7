package download

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Names within a request's Dir.
const (
	partName  = "part"
	stateName = "state"
)

// partial is the file on disk so far, with what is known about the whole.
type partial struct {
	dir             string
	file            *os.File
	size            int64
	known           known
	key             string
	contentType     string
	contentEncoding string
	whole           bool // a body ended properly although its size was never told
}

// state is what a later process needs to resume.
type state struct {
	// Key is a hash of the URL: the URL itself may hold a secret.
	Key             string
	Size            int64
	ETag            string
	LastModified    string
	ContentType     string
	ContentEncoding string
}

// openPartial opens the partial file and reads what is known of it. State that is
// damaged or belongs to another URL is dropped, never an error.
func openPartial(req Request) (*partial, error) {
	sum := sha256.Sum256([]byte(req.URL.String()))
	p := &partial{dir: req.Dir, key: hex.EncodeToString(sum[:]), known: known{Size: -1}}
	f, err := os.OpenFile(filepath.Join(req.Dir, partName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	p.file = f
	if err := p.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

func (p *partial) load() error {
	var s state
	raw, err := os.ReadFile(filepath.Join(p.dir, stateName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || json.Unmarshal(raw, &s) != nil || s.Key != p.key {
		return p.restart()
	}
	p.known = known{Size: s.Size, ETag: s.ETag, LastModified: s.LastModified}
	p.contentType, p.contentEncoding = s.ContentType, s.ContentEncoding
	size, err := p.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	p.size = size
	if p.known.validator() == "" || p.known.Size >= 0 && size > p.known.Size {
		return p.restart()
	}
	return nil
}

// save writes the state in one step.
func (p *partial) save() error {
	raw, err := json.Marshal(state{
		Key: p.key, Size: p.known.Size, ETag: p.known.ETag, LastModified: p.known.LastModified,
		ContentType: p.contentType, ContentEncoding: p.contentEncoding,
	})
	if err != nil {
		return err
	}
	file := filepath.Join(p.dir, stateName)
	if err := os.WriteFile(file+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// restart drops the bytes and what was known about them.
func (p *partial) restart() error {
	p.known, p.size, p.whole = known{Size: -1}, 0, false
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

func (p *partial) write(b []byte) error {
	n, err := p.file.Write(b)
	p.size += int64(n)
	return err
}

// complete reports whether nothing is missing. An unknown size is never complete
// before a body has ended properly.
func (p *partial) complete() bool {
	return p.whole || p.known.Size >= 0 && p.size == p.known.Size && p.known.validator() != ""
}

// verify compares the size after a body has ended without an error.
func (p *partial) verify() error {
	if p.known.Size >= 0 && p.size != p.known.Size {
		return fmt.Errorf("the body ended after %d of %d bytes", p.size, p.known.Size)
	}
	p.whole = true
	return nil
}

func (p *partial) result() Result {
	return Result{
		Path: filepath.Join(p.dir, partName), Size: p.size,
		ContentType: p.contentType, ContentEncoding: p.contentEncoding,
	}
}

// finish closes the file and reports what the disk had to say.
func (p *partial) finish() error {
	err := p.file.Close()
	p.file = nil
	if err != nil {
		return fmt.Errorf("closing the downloaded file: %w", err)
	}
	return nil
}

func (p *partial) close() {
	if p.file != nil {
		// After an error that is being returned; there is nothing to add to it.
		_ = p.file.Close()
	}
}
