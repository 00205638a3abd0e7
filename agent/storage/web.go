package storage

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rawserve/rawserve/agent/storage/archive"
	"github.com/rawserve/rawserve/agent/storage/download"
)

// web is a file or an archive on a web server.
var web = scheme{example: "https://host/file or http://host/file (tar, tar.gz, tgz and zip are unpacked)", matches: bySchemes("http", "https"), fetch: fetchWeb}

// fetchWeb downloads, then unpacks an archive or stores the file under its base name.
func fetchWeb(ctx context.Context, in *Initializer, j job) error {
	if j.uri.url.Hostname() == "" {
		return errors.New("the URI names no host")
	}
	header, err := in.opts.Settings.headersFor(j.uri.url.Hostname())
	if err != nil {
		return err
	}
	got, err := in.downloader.Fetch(ctx, download.Request{URL: j.uri.url, Header: header, Dir: j.work})
	if err != nil {
		return err
	}
	if err := in.decode(ctx, got, path.Base(j.uri.url.Path)); err != nil {
		if ctx.Err() != nil {
			return err // told to stop: the download is good
		}
		return discard(got.Path, err)
	}
	sniffed, err := archive.Sniff(got.Path)
	if err != nil {
		return err
	}
	kind, err := webKind(j.uri, got.ContentType, sniffed)
	if err != nil {
		return discard(got.Path, err)
	}
	if kind == archive.None {
		return store(j, got)
	}
	err = in.unpack(ctx, j, got.Path, kind)
	if err != nil && ctx.Err() != nil {
		return err // told to stop: the download is good and the next process unpacks it
	}
	if err != nil {
		return discard(got.Path, err)
	}
	return os.Remove(got.Path)
}

// discard drops a complete file that is of no use, lest a restarted container takes it
// for a finished download and fails for ever, even when the server has mended it.
func discard(file string, err error) error { return errors.Join(err, os.Remove(file)) }

// webKind decides whether a download is an archive. As in KServe the name decides, that
// is the path or else the query (?file=m.zip); a name without a suffix of its own leaves
// it to the Content-Type. What is sniffed in the bytes must agree.
func webKind(u uri, contentType string, sniffed archive.Kind) (archive.Kind, error) {
	base := path.Base(u.url.Path)
	kind := archive.KindOfName(base)
	if kind == archive.None && path.Ext(base) == "" {
		if kind = archive.KindOfName(u.url.RawQuery); kind == archive.None {
			kind = archive.KindOfContentType(contentType)
		}
		if kind == archive.None && archive.IsGzipType(contentType) {
			kind = sniffed
		}
	}
	if kind == archive.None {
		return kind, nil
	}
	// Old tars have no magic number, and an empty one neither: unpacking will tell.
	if kind == sniffed || kind != archive.Zip && sniffed == archive.None && !isPage(contentType) {
		return kind, nil
	}
	// A tar.gz may be called tar, and the other way round.
	if kind != archive.Zip && (sniffed == archive.Tar || sniffed == archive.TarGzip) {
		return sniffed, nil
	}
	return archive.None, fmt.Errorf("what came is not the %s archive that was asked for (Content-Type %q); is it a login or an error page?", kind, contentType)
}

// store moves the file to its place under its own name.
func store(j job, got download.Result) error {
	base := path.Base(j.uri.url.Path)
	if base == "." || base == "/" || base == ".." || base == workFolder {
		return discard(got.Path, errors.New("the URI names no file; end it with a file's name"))
	}
	if isPage(got.ContentType) && !isPageName(base) {
		return discard(got.Path, fmt.Errorf("a web page came instead of %s (Content-Type %q); is it a login or an error page?", base, got.ContentType))
	}
	if err := os.Rename(got.Path, filepath.Join(j.Dest, base)); err != nil {
		return fmt.Errorf("putting the file in its place: %w", err)
	}
	return nil
}

func isPage(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "text/html" || media == "application/xhtml+xml")
}

func isPageName(base string) bool {
	ext := strings.ToLower(path.Ext(base))
	return ext == ".html" || ext == ".htm" || ext == ".xhtml"
}

// decode undoes a Content-Encoding that came although none was asked for: object
// stores send what an object was stored with. A file called .gz or .tgz is meant to
// stay compressed.
func (in *Initializer) decode(ctx context.Context, got download.Result, base string) error {
	switch strings.ToLower(got.ContentEncoding) {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
	default:
		return fmt.Errorf("the server sent the Content-Encoding %q; store the file without one", got.ContentEncoding)
	}
	if base = strings.ToLower(base); strings.HasSuffix(base, ".gz") || strings.HasSuffix(base, ".tgz") {
		return nil
	}
	plain := got.Path + ".plain"
	if err := gunzip(ctx, got.Path, plain, in.opts.Settings.MaxBytes); err != nil {
		return errors.Join(fmt.Errorf("undoing the Content-Encoding gzip: %w", err), os.Remove(plain))
	}
	return os.Rename(plain, got.Path)
}

// gunzip writes at most most bytes, 0 for any number: a few kilobytes can stand for
// more than a disk holds.
func gunzip(ctx context.Context, from, to string, most int64) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(gunzipTo(ctx, out, from, most), out.Close())
}

func gunzipTo(ctx context.Context, w io.Writer, from string, most int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	var written int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := int64(gunzipStep)
		if most > 0 {
			// One byte more than is left shows that the bound is exceeded.
			step = min(step, most-written+1)
		}
		n, err := io.CopyN(w, z, step)
		if written += n; most > 0 && written > most {
			return fmt.Errorf("the file has more than the %d bytes allowed by STORAGE_MAX_BYTES", most)
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// gunzipStep is how much is written before a look at whether to go on.
const gunzipStep = 1 << 20
