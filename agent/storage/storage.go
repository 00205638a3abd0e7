// Package storage downloads models into the folders that a model server reads: the
// work of the storage-initializer. It takes KServe's arguments, pairs of a storage URI
// and a folder, and KServe's URI schemes; scheme.go lists them all, one file each.
//
// A run leaves nothing but the model in a folder, for model servers list it. While it
// works, a hidden folder holds partial files and notes, so that a restarted init
// container goes on where the last one ended. See mark.go.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/rawserve/rawserve/agent/storage/archive"
	"github.com/rawserve/rawserve/agent/storage/download"
)

// Source is one model to fetch: a storage URI and the folder it goes to.
type Source struct{ URI, Dest string }

// ParseArgs reads the repeating pairs of URI and folder that are the arguments of the
// init container.
func ParseArgs(args []string) ([]Source, error) {
	if len(args) == 0 || len(args)%2 != 0 {
		return nil, fmt.Errorf("want pairs of a storage URI and a folder, as in gs://bucket/model /mnt/models, and got %d arguments", len(args))
	}
	var sources []Source
	var errs []error
	for i := 0; i < len(args); i += 2 {
		s := Source{URI: args[i], Dest: args[i+1]}
		switch {
		case s.URI == "":
			errs = append(errs, fmt.Errorf("argument %d: the storage URI is empty", i+1))
		case !filepath.IsAbs(s.Dest):
			errs = append(errs, fmt.Errorf("argument %d: the folder %q must be an absolute path", i+2, s.Dest))
		}
		s.Dest = filepath.Clean(s.Dest)
		sources = append(sources, s)
	}
	return sources, errors.Join(errs...)
}

// Options are what an Initializer needs besides its sources.
type Options struct {
	Sources  []Source
	Settings Settings
	Log      *slog.Logger
	Clock    download.Clock
	// Transport makes the HTTP requests; nil is download.NewTransport with the
	// settings' certificate authorities.
	Transport http.RoundTripper
}

// Initializer fetches all sources of one pod.
type Initializer struct {
	opts       Options
	jobs       []job
	downloader *download.Downloader
}

// job is a source with what serves it.
type job struct {
	Source
	uri    uri
	scheme scheme
	work   string // folder for partial files, within the destination
}

// New checks that every source can be served, so that nothing is downloaded for a pod
// that cannot start anyway. All unusable sources are reported at once.
func New(opts Options) (*Initializer, error) {
	if opts.Log == nil || opts.Clock == nil {
		return nil, errors.New("an initializer needs a log and a clock")
	}
	transport := opts.Transport
	if transport == nil {
		roots, err := opts.Settings.roots()
		if err != nil {
			return nil, err
		}
		transport = download.NewTransport(roots)
	}
	d, err := download.New(opts.Settings.downloadOptions(transport, opts.Log, opts.Clock))
	if err != nil {
		return nil, err
	}
	in := &Initializer{opts: opts, downloader: d}
	var errs []error
	for _, s := range opts.Sources {
		j, err := newJob(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		in.jobs = append(in.jobs, j)
	}
	return in, errors.Join(errs...)
}

func newJob(s Source) (job, error) {
	u, err := parseURI(s.URI)
	if err != nil {
		return job{}, err
	}
	row, err := lookup(u)
	if err != nil {
		return job{}, err
	}
	return job{Source: s, uri: u, scheme: row, work: filepath.Join(s.Dest, workFolder, s.key())}, nil
}

// Run fetches what is not there yet. It may be called again after an error.
func (in *Initializer) Run(ctx context.Context) error {
	marks := newMarks(in.jobs, in.opts.Settings)
	if marks.complete() {
		in.opts.Log.Info("the model is complete already", "folders", marks.folders)
		return nil
	}
	for _, j := range in.jobs {
		if err := in.fetch(ctx, j); err != nil {
			return err
		}
	}
	return in.finish(marks)
}

// fetch runs one job, unless an earlier process has finished it.
func (in *Initializer) fetch(ctx context.Context, j job) error {
	log := in.opts.Log.With("uri", j.uri.redacted(), "folder", j.Dest)
	if j.done(in.opts.Settings) {
		log.Info("this source is complete already")
		return nil
	}
	if err := os.MkdirAll(j.work, 0o755); err != nil {
		return fmt.Errorf("preparing the folder %s: %w; is it a writable volume?", j.Dest, err)
	}
	started := in.opts.Clock.Now()
	if err := j.scheme.fetch(ctx, in, j); err != nil {
		return fmt.Errorf("fetching %s into %s: %w", j.uri.redacted(), j.Dest, err)
	}
	log.Info("fetched", "seconds", in.opts.Clock.Now().Sub(started).Seconds())
	return j.markDone(in.opts.Settings)
}

// finish removes everything but the models and then notes that all is complete.
func (in *Initializer) finish(marks marks) error {
	for _, folder := range marks.folders {
		if err := os.RemoveAll(filepath.Join(folder, workFolder)); err != nil {
			return fmt.Errorf("removing the partial files of %s: %w", folder, err)
		}
	}
	if err := marks.set(); err != nil {
		// Only costs a download should the pod's sandbox ever be made again.
		in.opts.Log.Debug("the completion could not be noted", "reason", err.Error())
	}
	return nil
}

// unpack unpacks an archive into a job's folder.
func (in *Initializer) unpack(ctx context.Context, j job, file string, kind archive.Kind) error {
	s := in.opts.Settings
	opts := archive.Options{Dest: j.Dest, Reserved: workFolder, MaxBytes: s.MaxBytes, MaxEntries: maxEntries}
	if !s.Patterns.Empty() {
		opts.Keep = s.Patterns.Keep
	}
	sum, err := archive.Unpack(ctx, file, kind, opts)
	if errors.Is(err, archive.ErrTooLarge) {
		err = fmt.Errorf("%w; raise STORAGE_MAX_BYTES if this archive may be trusted", err)
	}
	if err != nil {
		return fmt.Errorf("unpacking the %s archive: %w", kind, err)
	}
	if sum.Files == 0 {
		return fmt.Errorf("the %s archive has no file for the model (%d left out by STORAGE_ALLOW_PATTERNS and STORAGE_IGNORE_PATTERNS)", kind, sum.Skipped)
	}
	in.opts.Log.Info("unpacked", "kind", kind, "files", sum.Files, "bytes", sum.Bytes, "left_out", sum.Skipped)
	return nil
}

// maxEntries bounds an archive's entries: inodes are not covered by a bound on bytes.
const maxEntries = 1_000_000
