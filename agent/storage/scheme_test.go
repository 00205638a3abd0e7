package storage

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/agent/storage/pattern"
)

func TestEverySchemeIsServedOrHasARemedy(t *testing.T) {
	for raw, want := range map[string]string{
		"gs://b/m":                            "rawserve-system/controller-config",
		"s3://b/m":                            "kserve/storage-initializer",
		"hdfs://m":                            "kserve/storage-initializer",
		"webhdfs://m":                         "kserve/storage-initializer",
		"hf://model:v1":                       "kserve/storage-initializer",
		"modelscope://o/m":                    "kserve/storage-initializer",
		"https://a.blob.core.windows.net/c/m": "account.blob.core.windows.net",
		"https://a.file.core.windows.net/c/m": "account.file.core.windows.net",
		"https://github.com/o/r.git":          "repository.git",
		"pvc://claim/m":                       "mounted into the model's pod",
		"oci://r/i":                           "oci+native:",
		"oci+native://r/i":                    "oci+native:",
		"ftp://h/m":                           "known are gs://bucket/path, s3://bucket/path",
		"models/relative":                     "of no known form",
		"https://h:port/m":                    "unreadable port",
		"https:///m":                          "names no host",
	} {
		t.Run(raw, func(t *testing.T) {
			_, err := initialize(t, DefaultSettings(), raw, t.TempDir())
			require.ErrorContains(t, err, want)
		})
	}
	for _, s := range schemes {
		require.NotEqual(t, s.fetch == nil, s.remedy == "", "%s is served, or else has a remedy", s.example)
	}
}

func TestAllUnusableSourcesAreNamedAtOnceAndNothingIsFetched(t *testing.T) {
	var count atomic.Int32
	addr := listen(t, answer("application/octet-stream", []byte("x"), &count))
	_, err := initialize(t, DefaultSettings(), addr+"/m.bin", t.TempDir(), "s3://b/m", "/mnt/a", "gs://b/m", "/mnt/b")
	require.ErrorContains(t, err, "s3://b/m")
	require.ErrorContains(t, err, "gs://b/m")
	require.Zero(t, count.Load())
}

func TestErrorsAboutURIsHideSecrets(t *testing.T) {
	for _, raw := range []string{
		"https://u:hunter2@h:port/m?sig=hunter2", "ftp://u:hunter2@h/m?sig=hunter2", "https:/u:hunter2@h/m?sig=hunter2", "s3://k:hunter2@b:x/m?t=hunter2",
	} {
		_, err := initialize(t, DefaultSettings(), raw, t.TempDir())
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	got, err := ParseArgs([]string{"gs://b/m", "/mnt/models/", "hf://o/m", "/mnt/lora"})
	require.NoError(t, err)
	require.Equal(t, []Source{{"gs://b/m", "/mnt/models"}, {"hf://o/m", "/mnt/lora"}}, got)
	for name, args := range map[string][]string{
		"none": nil, "an odd number": {"gs://b/m"}, "an empty URI": {"", "/mnt"}, "a relative folder": {"gs://b/m", "mnt"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseArgs(args)
			require.Error(t, err)
		})
	}
}

func TestSettingsReportEveryWrongValueByName(t *testing.T) {
	s, err := SettingsFromEnv([]string{
		"STORAGE_ALLOW_PATTERNS=[\"*.json\"]", "STORAGE_IGNORE_PATTERNS=*.bin,*.gguf", "STORAGE_MAX_BYTES=0",
		"STORAGE_ATTEMPTS=3", "STORAGE_IDLE_TIMEOUT=5s", "CA_BUNDLE_VOLUME_MOUNT_POINT=/etc/ssl/custom-certs", "Models.Example-headers={}", "HOME=/",
	})
	require.NoError(t, err)
	require.Equal(t, Settings{
		Patterns: pattern.Set{Allow: []string{"*.json"}, Ignore: []string{"*.bin", "*.gguf"}}, MaxBytes: 0, Attempts: 3, IdleTimeout: 5 * time.Second,
		Authorities: "/etc/ssl/custom-certs/cabundle.crt", HostHeaders: map[string]string{"models.example": "{}"},
	}, s)
	_, err = SettingsFromEnv([]string{"STORAGE_MAX_BYTES=1Gi", "STORAGE_ATTEMPTS=0", "STORAGE_IDLE_TIMEOUT=5", `STORAGE_ALLOW_PATTERNS=["a`})
	for _, name := range []string{"STORAGE_MAX_BYTES", "STORAGE_ATTEMPTS", "STORAGE_IDLE_TIMEOUT", "STORAGE_ALLOW_PATTERNS"} {
		require.ErrorContains(t, err, name)
	}
}

func TestAPrivateAuthorityIsTrustedThroughTheBundle(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	t.Cleanup(srv.Close)
	s := DefaultSettings()
	_, err := initialize(t, s, srv.URL+"/m.bin", t.TempDir())
	require.ErrorContains(t, err, "caBundleConfigMapName")

	s.Authorities = filepath.Join(t.TempDir(), "cabundle.crt")
	require.NoError(t, os.WriteFile(s.Authorities, pemOf(srv.Certificate().Raw), 0o600))
	_, err = initialize(t, s, srv.URL+"/m.bin", t.TempDir())
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(s.Authorities, []byte("nonsense"), 0o600))
	_, err = initialize(t, s, srv.URL+"/m.bin", t.TempDir())
	require.ErrorContains(t, err, "no certificate")
}
