package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), mode))
}

// sample has a program, a folder with a link in it, and a text.
func sample(t *testing.T) Spec {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "server"), "program", 0o755)
	write(t, filepath.Join(dir, "model/weights/a.bin"), "1234", 0o640)
	require.NoError(t, os.Symlink("weights/a.bin", filepath.Join(dir, "model/current")))
	return Spec{
		Reference: "team/server:v1",
		Layers: []Layer{
			{{Path: "/mnt/model", From: filepath.Join(dir, "model")}},
			{{Path: "/opt/server", From: filepath.Join(dir, "server")}, {Path: "/etc/passwd", Text: "root:x:0:0\n"}},
		},
		Entrypoint: []string{"/opt/server"},
		Command:    []string{"--port=8080"},
		Env:        []string{"A=b"},
		User:       "65532:65532",
		WorkingDir: "/opt",
		Labels:     map[string]string{"purpose": "test"},
	}
}

func TestAnImageHoldsItsFilesAndItsConfiguration(t *testing.T) {
	s, file := sample(t), filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, Write(t.Context(), s, file))

	img, err := tarball.ImageFromPath(file, nil)
	require.NoError(t, err)
	require.NoError(t, validate.Image(img))
	config, err := img.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, s.Entrypoint, config.Config.Entrypoint)
	require.Equal(t, s.Command, config.Config.Cmd)
	require.Equal(t, s.Env, config.Config.Env)
	require.Equal(t, s.User, config.Config.User)
	require.Equal(t, s.WorkingDir, config.Config.WorkingDir)
	require.Equal(t, s.Labels, config.Config.Labels)

	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2)
	var seen []string
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		require.NoError(t, err)
		for tr := tar.NewReader(content); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			text, err := io.ReadAll(tr)
			require.NoError(t, err)
			require.Zero(t, h.Uid+h.Gid, h.Name)
			seen = append(seen, strings.TrimRight(strings.Join([]string{h.FileInfo().Mode().String(), h.Name, h.Linkname, string(text)}, " "), " \n"))
		}
		require.NoError(t, content.Close())
	}
	require.Equal(t, []string{
		"drwxr-xr-x mnt/",
		"drwxr-xr-x mnt/model/",
		"Lrwxrwxrwx mnt/model/current weights/a.bin",
		"drwxr-xr-x mnt/model/weights/",
		"-rw-r----- mnt/model/weights/a.bin  1234",
		"drwxr-xr-x opt/",
		"-rwxr-xr-x opt/server  program",
		"drwxr-xr-x etc/",
		"-rw-r--r-- etc/passwd  root:x:0:0",
	}, seen)
}

func TestTheSameFilesMakeTheSameImage(t *testing.T) {
	s, dir := sample(t), t.TempDir()
	one, two := filepath.Join(dir, "one.tar"), filepath.Join(dir, "two.tar")
	require.NoError(t, Write(t.Context(), s, one))
	// Copied files have other times.
	now := epoch.AddDate(56, 0, 0)
	require.NoError(t, os.Chtimes(s.Layers[1][0].From, now, now))
	require.NoError(t, Write(t.Context(), s, two))
	first, err := os.ReadFile(one)
	require.NoError(t, err)
	second, err := os.ReadFile(two)
	require.NoError(t, err)
	require.True(t, string(first) == string(second))
}

func TestTheIDChangesWithTheContent(t *testing.T) {
	s, file := sample(t), filepath.Join(t.TempDir(), "image.tar")
	id := func() string {
		require.NoError(t, Write(t.Context(), s, file))
		id, err := ID(file, s.Reference)
		require.NoError(t, err)
		return id
	}
	first := id()
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", first)
	require.Equal(t, first, id())
	write(t, s.Layers[1][0].From, "another program", 0o755)
	require.NotEqual(t, first, id())
	_, err := ID(file, "team/client:v1")
	require.ErrorContains(t, err, "team/client:v1")
}

func TestAFailureLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	s := Binary("web:1", filepath.Join(dir, "none-such"))
	require.ErrorIs(t, Write(t.Context(), s, filepath.Join(dir, "image.tar")), os.ErrNotExist)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSpecialFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := Spec{Reference: "web:1", Layers: []Layer{{{Path: "/dev/null", From: "/dev/null"}}}}
	require.ErrorContains(t, Write(t.Context(), s, filepath.Join(dir, "image.tar")), "neither a file, a folder nor a link")
}

func TestValidateNamesTheField(t *testing.T) {
	for want, spoil := range map[string]func(*Spec){
		`reference "Upper:1"`:                   func(s *Spec) { s.Reference = "Upper:1" },
		"give at least one":                     func(s *Spec) { s.Layers = nil },
		`layers[0] of team/server:v1: path "x"`: func(s *Spec) { s.Layers = []Layer{{{Path: "x", Text: "y"}}} },
		"both from and text":                    func(s *Spec) { s.Layers = []Layer{{{Path: "/x", Text: "y", From: "/z"}}} },
	} {
		s := sample(t)
		spoil(&s)
		require.ErrorContains(t, s.Validate(), want)
	}
	require.NoError(t, sample(t).Validate())
}

func TestStickyAndSetIDBitsSurvive(t *testing.T) {
	require.Equal(t, int64(0o1000), specialBits(os.ModeSticky|os.ModeDir|0o777))
	require.Equal(t, int64(0o6000), specialBits(os.ModeSetuid|os.ModeSetgid))
}
