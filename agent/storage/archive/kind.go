package archive

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"os"
	"strings"
)

// Kind is a form of archive.
type Kind string

// The kinds of archive. None is a plain file.
const (
	None    Kind = ""
	Tar     Kind = "tar"
	TarGzip Kind = "tar.gz"
	Zip     Kind = "zip"
)

// suffixes are tried in order, on lower-case names.
var suffixes = []struct {
	suffix string
	kind   Kind
}{
	{".tar.gz", TarGzip},
	{".tgz", TarGzip},
	{".tar", Tar},
	{".zip", Zip},
}

// contentTypes says which archive a media type promises. Both of gzip's types are
// only a promise of something compressed: see Identify.
var contentTypes = map[string]Kind{
	"application/x-tar":             Tar,
	"application/x-gtar":            Tar,
	"application/tar":               Tar,
	"application/x-tgz":             TarGzip,
	"application/x-gtar-compressed": TarGzip,
	"application/zip":               Zip,
	"application/x-zip-compressed":  Zip,
	"application/zip-compressed":    Zip,
}

// KindOfName tells the kind by a file's name.
func KindOfName(name string) Kind {
	name = strings.ToLower(name)
	for _, s := range suffixes {
		if strings.HasSuffix(name, s.suffix) {
			return s.kind
		}
	}
	return None
}

// KindOfContentType tells the kind by a Content-Type header.
func KindOfContentType(contentType string) Kind {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return None
	}
	return contentTypes[media]
}

// IsGzipType reports whether a Content-Type header says gzip, which may or may not
// hold a tar.
func IsGzipType(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/gzip" || media == "application/x-gzip")
}

// Sniff tells the kind of a file by its first bytes: the proof behind what a name
// or header says.
func Sniff(file string) (Kind, error) {
	f, err := os.Open(file)
	if err != nil {
		return None, err
	}
	defer f.Close()
	head := make([]byte, tarMagicEnd)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return None, err
	}
	head = head[:n]
	switch {
	case isTar(head):
		return Tar, nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return Zip, nil
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return sniffGzip(f)
	}
	return None, nil
}

const (
	tarMagicAt  = 257
	tarMagicEnd = tarMagicAt + len("ustar")
)

func isTar(head []byte) bool {
	return len(head) >= tarMagicEnd && string(head[tarMagicAt:tarMagicEnd]) == "ustar"
}

// sniffGzip looks for a tar inside. A damaged gzip is no error here: unpacking it,
// if its name asks for that, tells more.
func sniffGzip(f *os.File) (Kind, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return None, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return None, nil //nolint:nilerr // damaged, so not a tar
	}
	head := make([]byte, tarMagicEnd)
	if _, err := io.ReadFull(z, head); err != nil || !isTar(head) {
		return None, nil //nolint:nilerr // damaged or too short, so not a tar
	}
	return TarGzip, nil
}
