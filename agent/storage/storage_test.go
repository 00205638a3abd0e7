package storage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/agent/storage/archive"
	"github.com/rawserve/rawserve/agent/storage/pattern"
)

// instant is a clock on which waiting takes no time.
type instant struct{}

func (instant) Now() time.Time                                   { return time.Unix(0, 0) }
func (instant) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// initialize runs an initializer over pairs of URI and folder and returns its log.
func initialize(t *testing.T, s Settings, pairs ...string) (string, error) {
	t.Helper()
	var log bytes.Buffer
	sources, err := ParseArgs(pairs)
	require.NoError(t, err)
	in, err := New(Options{Sources: sources, Settings: s, Log: slog.New(slog.NewTextHandler(&log, nil)), Clock: instant{}})
	if err != nil {
		return log.String(), err
	}
	err = in.Run(context.Background())
	return log.String(), err
}

// tree reads a folder as name -> content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		rel, _ := filepath.Rel(dir, p)
		body, err := os.ReadFile(p)
		require.NoError(t, err)
		got[rel] = string(body)
		return nil
	}))
	return got
}

// top lists what a model server sees in its folder.
func top(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func tgz(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, body := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}))
		_, err := w.Write([]byte(body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func answer(contentType string, body []byte, count *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAFileIsStoredUnderItsNameAndNothingElseIsLeft(t *testing.T) {
	var count atomic.Int32
	addr := listen(t, answer("application/octet-stream", []byte("weights"), &count))
	dest := t.TempDir()
	_, err := initialize(t, DefaultSettings(), addr+"/iris/model.joblib", dest)
	require.NoError(t, err)
	require.Equal(t, []string{"model.joblib"}, top(t, dest))
	require.Equal(t, map[string]string{"model.joblib": "weights"}, tree(t, dest))
	info, err := os.Stat(filepath.Join(dest, "model.joblib"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode().Perm(), "another user may run the server")
}

func TestArchivesAreUnpackedByNameQueryOrContentType(t *testing.T) {
	body := tgz(t, map[string]string{"1/model.pt": "weights", "config.json": "{}"})
	for name, c := range map[string]struct{ path, contentType string }{
		"by the name":                       {"/m.tar.gz", "application/octet-stream"},
		"by a name that forgets the gzip":   {"/m.tar", "application/x-tar"},
		"by the query":                      {"/get?file=m.tgz", "application/octet-stream"},
		"by the Content-Type":               {"/latest", "application/x-tgz"},
		"by the Content-Type and the bytes": {"/latest", "application/gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			var count atomic.Int32
			dest := t.TempDir()
			_, err := initialize(t, DefaultSettings(), listen(t, answer(c.contentType, body, &count))+c.path, dest)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"1/model.pt": "weights", "config.json": "{}"}, tree(t, dest))
		})
	}
}

func TestWhatIsNotTheModelIsNeverStored(t *testing.T) {
	page := []byte("<html>please log in</html>")
	for name, c := range map[string]struct {
		path, contentType string
		body              []byte
		want              string
	}{
		"a login page for a file":           {"/model.joblib", "text/html; charset=utf-8", page, "login"},
		"a login page for an archive":       {"/model.tar.gz", "text/html", page, "login"},
		"a login page for a plain tar":      {"/model.tar", "text/html", page, "login"},
		"a page that claims to be a zip":    {"/model.zip", "application/zip", page, "not the zip archive"},
		"an archive that climbs":            {"/model.tgz", "application/gzip", tgz(t, map[string]string{"../x": "!"}), "climbs"},
		"an archive over our working files": {"/model.tgz", "application/gzip", tgz(t, map[string]string{workFolder + "/x": "!"}), "reserved"},
		"an empty archive":                  {"/model.tgz", "application/gzip", tgz(t, nil), "no file"},
		"a URI without a file name":         {"/", "application/octet-stream", page, "names no file"},
	} {
		t.Run(name, func(t *testing.T) {
			var count atomic.Int32
			outer := t.TempDir()
			dest := filepath.Join(outer, "models")
			addr := listen(t, answer(c.contentType, c.body, &count)) + c.path
			for want := int32(1); want <= 2; want++ {
				_, err := initialize(t, DefaultSettings(), addr, dest)
				require.ErrorContains(t, err, c.want)
				require.Equal(t, want, count.Load(), "a useless download must not be kept as a finished one")
			}
			require.Equal(t, []string{workFolder}, top(t, dest))
			require.Equal(t, []string{"models"}, top(t, outer))
		})
	}
}

func TestACompleteSourceIsNotFetchedAgainAfterAnotherFailed(t *testing.T) {
	var first, second atomic.Int32
	a := listen(t, answer("application/octet-stream", []byte("base"), &first))
	failing := atomic.Bool{}
	failing.Store(true)
	b := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		second.Add(1)
		if failing.Load() {
			http.Error(w, "not yet", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("adapter"))
	}))
	dest := t.TempDir()
	pairs := []string{a + "/base.bin", dest, b + "/lora.bin", filepath.Join(dest, "lora")}
	_, err := initialize(t, DefaultSettings(), pairs...)
	require.ErrorContains(t, err, "404")
	failing.Store(false)
	_, err = initialize(t, DefaultSettings(), pairs...)
	require.NoError(t, err)
	require.EqualValues(t, 1, first.Load())
	require.EqualValues(t, 2, second.Load())
	require.Equal(t, map[string]string{"base.bin": "base", "lora/lora.bin": "adapter"}, tree(t, dest))
	require.Equal(t, []string{"base.bin", "lora"}, top(t, dest))
	require.Equal(t, []string{"lora.bin"}, top(t, filepath.Join(dest, "lora")))
}

func TestARerunAfterSuccessDownloadsOnlyWhatChanged(t *testing.T) {
	var count atomic.Int32
	addr := listen(t, answer("application/octet-stream", []byte("weights"), &count)) + "/model.bin"
	dest := t.TempDir()
	if err := setAttribute(dest, "user.rawserve.probe", "1"); err != nil {
		t.Skipf("this file system has no user attributes: %v", err)
	}
	run := func(s Settings, uri string) {
		t.Helper()
		_, err := initialize(t, s, uri, dest)
		require.NoError(t, err)
	}
	run(DefaultSettings(), addr)
	run(DefaultSettings(), addr)
	require.EqualValues(t, 1, count.Load(), "nothing changed")

	require.NoError(t, os.Truncate(filepath.Join(dest, "model.bin"), 3))
	run(DefaultSettings(), addr)
	require.EqualValues(t, 2, count.Load(), "a damaged file is fetched again")
	require.Equal(t, "weights", tree(t, dest)["model.bin"])

	run(DefaultSettings(), addr+"?v=2")
	require.EqualValues(t, 3, count.Load(), "another URI is another model")

	other := DefaultSettings()
	other.Patterns = pattern.Set{Ignore: []string{"*.txt"}}
	run(other, addr+"?v=2")
	require.EqualValues(t, 4, count.Load(), "other patterns may choose other files")
}

func TestHeadersOfAHostAreSentAndNeverLogged(t *testing.T) {
	var got http.Header
	addr := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		_, _ = w.Write([]byte("x"))
	}))
	s, err := SettingsFromEnv([]string{`127.0.0.1-headers={"Authorization": "Bearer s3cret", "x-team": "ml"}`})
	require.NoError(t, err)
	log, err := initialize(t, s, addr+"/m.bin?sig=topsecret", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, "Bearer s3cret", got.Get("Authorization"))
	require.Equal(t, "ml", got.Get("X-Team"))
	require.NotContains(t, log, "s3cret")
	require.NotContains(t, log, "topsecret")

	s.HostHeaders["127.0.0.1"] = `{"Authorization": s3cret}`
	_, err = initialize(t, s, addr+"/m.bin", t.TempDir())
	require.ErrorContains(t, err, "127.0.0.1-headers")
	require.NotContains(t, err.Error(), "s3cret")
}

func TestAnUnaskedContentEncodingIsUndone(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte("weights"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	encoded := func(encoding string) string {
		return listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(b.Bytes())
		}))
	}
	dest := t.TempDir()
	_, err = initialize(t, DefaultSettings(), encoded("gzip")+"/model.bin", dest, encoded("gzip")+"/model.pkl.gz", dest)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"model.bin": "weights", "model.pkl.gz": b.String()}, tree(t, dest))
	_, err = initialize(t, DefaultSettings(), encoded("br")+"/model.bin", t.TempDir())
	require.ErrorContains(t, err, `Content-Encoding "br"`)
}

func TestTheSizeWithoutAContentEncodingIsBounded(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	at := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}))
	s := DefaultSettings()
	s.MaxBytes = 1<<20 - 1
	dest := t.TempDir()
	_, err = initialize(t, s, at+"/model.bin", dest)
	require.ErrorContains(t, err, "more than the 1048575 bytes allowed by STORAGE_MAX_BYTES")
	for name := range tree(t, dest) {
		require.Equal(t, "state", filepath.Base(name), "nothing is left on the disk")
	}
	s.MaxBytes++
	_, err = initialize(t, s, at+"/model.bin", dest)
	require.NoError(t, err)

	packed := filepath.Join(t.TempDir(), "model.gz")
	require.NoError(t, os.WriteFile(packed, b.Bytes(), 0o644))
	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorIs(t, gunzip(stopped, packed, packed+".plain", 0), context.Canceled)
}

func TestUnpackedSizeIsBounded(t *testing.T) {
	src := filepath.Join(t.TempDir(), "m.tgz")
	require.NoError(t, os.WriteFile(src, tgz(t, map[string]string{"zeros": strings.Repeat("0", 1<<20)}), 0o644))
	s := DefaultSettings()
	s.MaxBytes = 1 << 16
	_, err := initialize(t, s, src, t.TempDir())
	require.ErrorIs(t, err, archive.ErrTooLarge)
	require.ErrorContains(t, err, "STORAGE_MAX_BYTES")
}
