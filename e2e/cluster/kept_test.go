package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestArchivesAreKeptByTheNamesInThemInTheOrderOfLoading(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	files, err := kept(dir)
	require.NoError(t, err)
	require.Empty(t, files, "nothing was loaded yet")

	load := func(text string, references ...string) string {
		file := keptFile(dir, references)
		require.NoError(t, keep(file, func(file string) error { return os.WriteFile(file, []byte(text), 0o644) }))
		return file
	}
	a := load("first a", "docker.io/library/a:1")
	both := load("a and b", "docker.io/library/b:1", "docker.io/library/a:1")
	c := load("c", "docker.io/library/c:1")
	require.Equal(t, a, load("second a", "docker.io/library/a:1"))
	require.Equal(t, both, keptFile(dir, []string{"docker.io/library/a:1", "docker.io/library/b:1"}), "their order does not matter")

	files, err = kept(dir)
	require.NoError(t, err)
	require.Equal(t, []string{both, c, a}, files, "the later one of two images of a name is put on a node last")
	text, err := os.ReadFile(a)
	require.NoError(t, err)
	require.Equal(t, "second a", string(text))
}

func TestAnArchiveThatCannotBeWrittenLeavesTheFormerOne(t *testing.T) {
	dir := t.TempDir()
	file := keptFile(dir, []string{"docker.io/library/a:1"})
	require.NoError(t, keep(file, func(file string) error { return os.WriteFile(file, []byte("good"), 0o644) }))
	full := errors.New("no space left")
	require.ErrorIs(t, keep(file, func(file string) error {
		require.NoError(t, os.WriteFile(file, []byte("ha"), 0o644))
		return full
	}), full)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "good", string(text))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}
