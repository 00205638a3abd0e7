package storage

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFoldersAreCopiedThroughLinksAsKubeletMakesThem(t *testing.T) {
	src := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(src, "..2026"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(src, "..2026", "model.json"), []byte("{}"), 0o644))
	require.NoError(t, os.Symlink("..2026", filepath.Join(src, "..data")))
	require.NoError(t, os.Symlink("..data/model.json", filepath.Join(src, "model.json")))
	require.NoError(t, os.Mkdir(filepath.Join(src, "sub"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(src, "sub", "run.sh"), []byte("#!"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(src, "sub", "big.bin"), []byte("b"), 0o600))
	s := DefaultSettings()
	s.Patterns.Ignore = []string{"*.bin"}
	for _, uri := range []string{src, "file://" + src, "file://localhost" + src + "/"} {
		dest := t.TempDir()
		_, err := initialize(t, s, uri, dest)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"model.json": "{}", "sub/run.sh": "#!"}, tree(t, dest))
		info, err := os.Lstat(filepath.Join(dest, "model.json"))
		require.NoError(t, err)
		require.True(t, info.Mode().IsRegular())
		info, err = os.Stat(filepath.Join(dest, "sub", "run.sh"))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o755), info.Mode().Perm())
	}
}

func TestLocalSourcesThatCannotBeCopiedSaySo(t *testing.T) {
	loop := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(loop, "a"), []byte("a"), 0o644))
	require.NoError(t, os.Symlink(".", filepath.Join(loop, "again")))
	around := t.TempDir()
	for name, c := range map[string]struct{ uri, dest, want string }{
		"nothing there":          {"file:///does/not/exist", "", "volume mounted"},
		"a host":                 {"file://server/share", "", "three slashes"},
		"no path":                {"file://", "", "names no path"},
		"a folder within itself": {loop, "", "leads back"},
		"the destination inside": {around, filepath.Join(around, "models"), "holds the destination"},
		"an empty folder":        {t.TempDir(), "", "no file"},
		"a device":               {"/dev/null", "", "only files and folders"},
	} {
		t.Run(name, func(t *testing.T) {
			dest := c.dest
			if dest == "" {
				dest = t.TempDir()
			}
			_, err := initialize(t, DefaultSettings(), c.uri, dest)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestALocalArchiveIsUnpackedAndKept(t *testing.T) {
	src := filepath.Join(t.TempDir(), "m.tgz")
	require.NoError(t, os.WriteFile(src, tgz(t, map[string]string{"model.pt": "w"}), 0o644))
	dest := t.TempDir()
	_, err := initialize(t, DefaultSettings(), "file://"+src, dest)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"model.pt": "w"}, tree(t, dest))
	require.FileExists(t, src)
}
