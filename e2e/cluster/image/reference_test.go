package image

import (
	"archive/tar"
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalCompletesAsTheKubeletDoes(t *testing.T) {
	for reference, want := range map[string]string{
		"web":                               "docker.io/library/web:latest",
		"web:1":                             "docker.io/library/web:1",
		"team/web:1":                        "docker.io/team/web:1",
		"docker.io/web":                     "docker.io/library/web:latest",
		"index.docker.io/library/web:1":     "docker.io/library/web:1",
		"localhost/web":                     "localhost/web:latest",
		"localhost:5000/team/web:1":         "localhost:5000/team/web:1",
		"rawserve.dev/rawserve:dev":         "rawserve.dev/rawserve:dev",
		"registry/team/web":                 "docker.io/registry/team/web:latest",
		"rawserve.dev/web@sha256:0123abcde": "rawserve.dev/web@sha256:0123abcde",
	} {
		require.Equal(t, want, Canonical(reference))
	}
}

func FuzzCanonicalIsStable(f *testing.F) {
	f.Add("web")
	f.Add("localhost:5000/a/b@sha256:00")
	f.Fuzz(func(t *testing.T, reference string) {
		once := Canonical(reference)
		require.Equal(t, once, Canonical(once))
	})
}

func archive(t *testing.T, files map[string]string) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return &out
}

func TestReferencesAreFoundInEveryKindOfArchive(t *testing.T) {
	cases := []struct {
		situation string
		files     map[string]string
		want      []string
	}{
		{"docker-archive", map[string]string{"manifest.json": `[{"RepoTags":["web:1","rawserve.dev/web:1"]}]`},
			[]string{"docker.io/library/web:1", "rawserve.dev/web:1"}},
		{"OCI layout with containerd's annotation", map[string]string{
			"index.json": `{"manifests":[{"annotations":{"io.containerd.image.name":"rawserve.dev/web:2","org.opencontainers.image.ref.name":"2"}}]}`},
			[]string{"rawserve.dev/web:2"}},
		{"OCI layout with a full name", map[string]string{
			"./index.json": `{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"localhost/web:3"}}]}`},
			[]string{"localhost/web:3"}},
		{"OCI layout that names only a tag beside a manifest", map[string]string{
			"index.json":    `{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"3"}}]}`,
			"manifest.json": `[{"RepoTags":["web:3"]}]`},
			[]string{"docker.io/library/web:3"}},
	}
	for _, c := range cases {
		t.Run(c.situation, func(t *testing.T) {
			got, err := references(archive(t, c.files))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestBadArchivesAreNamed(t *testing.T) {
	_, err := references(archive(t, map[string]string{"index.json": `{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"3"}}]}`}))
	require.ErrorIs(t, err, ErrUnnamed)
	_, err = references(archive(t, map[string]string{"manifest.json": `{`}))
	require.ErrorContains(t, err, "manifest.json")
	_, err = References(filepath.Join(t.TempDir(), "none.tar"))
	require.ErrorContains(t, err, "none.tar")
}
