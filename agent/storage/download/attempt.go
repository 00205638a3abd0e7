package download

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// attempt makes one request for what is missing and writes what comes.
func (d *Downloader) attempt(ctx context.Context, req Request, part *partial, log *slog.Logger) error {
	if part.complete() {
		return nil
	}
	if part.known.validator() == "" && part.size > 0 {
		if err := part.restart(); err != nil {
			return finalError{err}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := d.get(ctx, req, part)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	v, err := judge(resp, part.size, part.known, d.opts.Clock.Now())
	if err != nil {
		var changed changedError
		if errors.As(err, &changed) {
			if err := part.restart(); err != nil {
				return finalError{err}
			}
		}
		return err
	}
	if err := d.accept(resp, v, part); err != nil {
		return err
	}
	log.Info("downloading", "from", v.Offset, "size", v.Known.Size)
	body := &idleReader{r: resp.Body, idle: d.opts.Idle, cancel: cancel, ctx: ctx}
	if err := d.copy(part, body, log); err != nil {
		return err
	}
	return part.verify()
}

func (d *Downloader) get(ctx context.Context, req Request, part *partial) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, req.URL.String(), nil)
	if err != nil {
		return nil, final("making the request: %w", withoutURL(err))
	}
	for name, values := range req.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	// Sizes and ranges must count the bytes of the file, not of a compression.
	r.Header.Set("Accept-Encoding", "identity")
	if part.size > 0 {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(part.size, 10)+"-")
		r.Header.Set("If-Range", part.known.validator())
	}
	client := &http.Client{Transport: d.opts.Transport, CheckRedirect: redirects(req)}
	resp, err := client.Do(r)
	if err != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return nil, classify(withoutURL(err))
	}
	return resp, nil
}

// accept stores what is known before the first byte, so that a crash can resume, and
// refuses a file for which there is no room.
func (d *Downloader) accept(resp *http.Response, v verdict, part *partial) error {
	if d.opts.MaxBytes > 0 && v.Known.Size > d.opts.MaxBytes {
		return final("the file has %d bytes, more than the %d allowed by STORAGE_MAX_BYTES", v.Known.Size, d.opts.MaxBytes)
	}
	if v.Offset == 0 {
		if err := part.restart(); err != nil {
			return finalError{err}
		}
	}
	if free, ok := freeBytes(part.dir); ok && v.Known.Size-v.Offset > free {
		return final("the file needs %d more bytes and the volume has %d free; give the model's volume more room", v.Known.Size-v.Offset, free)
	}
	if v.Offset == 0 {
		part.contentType, part.contentEncoding = resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding")
	}
	part.known = v.Known
	if err := part.save(); err != nil {
		return finalError{err}
	}
	return nil
}

// copy appends the body to the partial file and logs progress.
func (d *Downloader) copy(part *partial, body io.Reader, log *slog.Logger) error {
	buf := make([]byte, 256<<10)
	meter := newMeter(d.opts.Clock.Now(), part.size)
	defer func() { log.Info("received", meter.attrs(d.opts.Clock.Now(), part)...) }()
	for {
		n, readErr := body.Read(buf)
		if n > 0 {
			if err := part.write(buf[:n]); err != nil {
				return finalError{err}
			}
			if part.known.Size >= 0 && part.size > part.known.Size {
				return errors.Join(fmt.Errorf("the server sent more than the %d bytes it announced", part.known.Size), part.restart())
			}
			if d.opts.MaxBytes > 0 && part.size > d.opts.MaxBytes {
				return final("the file has more than the %d bytes allowed by STORAGE_MAX_BYTES", d.opts.MaxBytes)
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return fmt.Errorf("the connection broke: %w", withoutURL(readErr))
		}
		if now := d.opts.Clock.Now(); meter.due(now, d.opts.ProgressEvery) {
			log.Info("receiving", meter.attrs(now, part)...)
		}
	}
}

// idleReader ends the request where no byte comes for too long.
type idleReader struct {
	r      io.Reader
	idle   time.Duration
	cancel context.CancelCauseFunc
	ctx    context.Context // ctx of the one request whose body this is
}

func (r *idleReader) Read(p []byte) (int, error) {
	timer := time.AfterFunc(r.idle, func() {
		r.cancel(fmt.Errorf("no byte came for %s", r.idle))
	})
	defer timer.Stop()
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.ctx.Err() != nil {
		err = context.Cause(r.ctx)
	}
	return n, err
}

// withoutURL strips what net/http wraps around an error: the URL with its query.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// classify marks errors of the connection that no second attempt mends.
func classify(err error) error {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		redirect  redirectError
	)
	switch {
	case errors.As(err, &redirect):
		return finalError{err}
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return final("%w; add the server's authority through caBundleConfigMapName", err)
	}
	return err
}
