package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFilesAreServedWithRangesAndStrongTags(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "iris"), 0o755))
	file := filepath.Join(dir, "iris", "model.joblib")
	require.NoError(t, os.WriteFile(file, []byte("0123456789"), 0o644))
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("s"), 0o644))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.Chtimes(file, time.Unix(0, 0), time.Unix(0, 0)))
	r := start(t, "--serve-files="+dir)
	get := func(path string, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest("GET", r.url+path, nil)
		require.NoError(t, err)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client(t, false).Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}
	resp, body := get("/iris/model.joblib")
	require.Equal(t, "0123456789", body)
	require.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"))
	tag := resp.Header.Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)

	resp, body = get("/iris/model.joblib", "Range", "bytes=4-", "If-Range", tag)
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Equal(t, "456789", body)
	require.Equal(t, "bytes 4-9/10", resp.Header.Get("Content-Range"))

	resp, body = get("/iris/model.joblib", "Range", "bytes=4-", "If-Range", `"another"`)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "0123456789", body)

	for _, path := range []string{"/iris/", "/iris", "/missing", "/link", "/%2e%2e/etc/passwd"} {
		resp, _ = get(path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
	}
	require.NoError(t, os.WriteFile(file, []byte("9876543210!"), 0o644))
	resp, _ = get("/iris/model.joblib")
	require.NotEqual(t, tag, resp.Header.Get("ETag"))
	require.Zero(t, r.count.snapshot().Executed)
}

func TestSettingsComeFromTheEnvironmentAndFlagsWin(t *testing.T) {
	env := map[string]string{"TESTSERVER_MODEL_NAME": "iris", "TESTSERVER_DELAY": "2s", "TESTSERVER_CRASH": "true"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got, err := parseSettings([]string{"--delay=3s", "--fail-every=2"}, lookup, io.Discard)
	require.NoError(t, err)
	require.Equal(t, Settings{Addr: ":8080", ModelName: "iris", Delay: 3 * time.Second, Crash: true, FailEvery: 2, FailStatus: 500, Grace: 30 * time.Second}, got)

	env["TESTSERVER_DELAY"] = "soon"
	_, err = parseSettings(nil, lookup, io.Discard)
	require.ErrorContains(t, err, "TESTSERVER_DELAY")
	for name, args := range map[string][]string{
		"a negative delay":       {"--delay=-1s"},
		"a negative count":       {"--fail-every=-1"},
		"an OK failure":          {"--fail-status=200"},
		"no model name":          {"--model-name="},
		"a missing folder":       {"--serve-files=/does/not/exist"},
		"a ledger of no address": {"--ledger=ledger:8080"},
		"a stray argument":       {"serve"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSettings(args, func(string) (string, bool) { return "", false }, io.Discard)
			require.Error(t, err)
		})
	}
}
