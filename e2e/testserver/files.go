package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

// fileStore serves the files of a folder as an object store does: with ranges and
// strong ETags, without listings.
type fileStore struct {
	root string

	mu   sync.Mutex
	tags map[string]fileTag
}

// fileTag is a file's ETag, good as long as size and time are the same.
type fileTag struct {
	size    int64
	changed time.Time
	etag    string
}

func newFileStore(root string) *fileStore {
	return &fileStore{root: root, tags: map[string]fileTag{}}
}

// contentTypes are what KServe's initializer wants to see; all else is a stream of
// bytes, whatever this machine's table of types says.
var contentTypes = map[string]string{
	".tar": "application/x-tar", ".gz": "application/gzip", ".tgz": "application/gzip", ".zip": "application/zip",
	".json": "application/json", ".txt": "text/plain", ".html": "text/html",
}

// ServeHTTP answers GET and HEAD for a file.
func (s *fileStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "files can only be read")
		return
	}
	root, err := os.OpenRoot(s.root)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "the folder of --serve-files cannot be opened")
		return
	}
	defer root.Close()
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	f, err := root.Open(name)
	if err != nil {
		writeError(w, statusOf(err), "no such file")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		writeError(w, http.StatusNotFound, "no such file")
		return
	}
	tag, err := s.tag(name, f, info)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "the file cannot be read")
		return
	}
	content, known := contentTypes[strings.ToLower(path.Ext(name))]
	if !known {
		content = "application/octet-stream"
	}
	w.Header().Set("Content-Type", content)
	w.Header().Set("ETag", tag)
	http.ServeContent(w, r, name, info.ModTime(), f)
}

func statusOf(err error) int {
	if errors.Is(err, fs.ErrPermission) {
		return http.StatusForbidden
	}
	return http.StatusNotFound
}

// tag hashes the content: in an image all files have the same time, so size and time
// alone would not tell two versions of a model apart across images.
func (s *fileStore) tag(name string, f *os.File, info fs.FileInfo) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tags[name]; ok && t.size == info.Size() && t.changed.Equal(info.ModTime()) {
		return t.etag, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	etag := `"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`
	s.tags[name] = fileTag{size: info.Size(), changed: info.ModTime(), etag: etag}
	return etag, nil
}
