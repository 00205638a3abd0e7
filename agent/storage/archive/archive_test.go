package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// entry is a file in a test archive; a name that ends in "/" is a folder.
type entry struct {
	name, body, link string
	mode             int64
	typ              byte
}

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644 | e.mode, Size: int64(len(e.body)), Linkname: e.link, Typeflag: e.typ, Format: tar.FormatPAX}
		switch {
		case e.typ != 0:
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.link != "":
			h.Typeflag = tar.TypeSymlink
		default:
			h.Typeflag = tar.TypeReg
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write([]byte(e.body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zipOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(fs.FileMode(0o644 | e.mode))
		body := e.body
		if e.link != "" {
			h.SetMode(fs.ModeSymlink | 0o777)
			body = e.link
		}
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = f.Write([]byte(body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func gzipOf(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func write(t *testing.T, body []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive")
	require.NoError(t, os.WriteFile(file, body, 0o600))
	return file
}

// tree reads a folder as name -> content; links as "-> target".
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		rel, _ := filepath.Rel(dir, p)
		switch {
		case rel == ".":
		case d.IsDir():
			got[rel+"/"] = ""
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			require.NoError(t, err)
			got[rel] = "-> " + target
		default:
			body, err := os.ReadFile(p)
			require.NoError(t, err)
			got[rel] = string(body)
		}
		return nil
	}))
	return got
}

func TestEveryKindUnpacksToTheSameTree(t *testing.T) {
	entries := []entry{
		{name: "./"}, {name: "1/"}, {name: "1/model.pt", body: "weights"},
		{name: "config.json", body: "{}"}, {name: "run.sh", body: "#!", mode: 0o111},
		{name: "latest", link: "1/model.pt"},
	}
	for kind, body := range map[Kind][]byte{
		Tar: tarOf(t, entries...), TarGzip: gzipOf(t, tarOf(t, entries...)), Zip: zipOf(t, entries[1:]...),
	} {
		t.Run(string(kind), func(t *testing.T) {
			file, dest := write(t, body), t.TempDir()
			sniffed, err := Sniff(file)
			require.NoError(t, err)
			require.Equal(t, kind, sniffed)
			for range 2 { // the second time over the result of the first
				sum, err := Unpack(context.Background(), file, kind, Options{Dest: dest})
				require.NoError(t, err)
				require.Equal(t, Summary{Files: 4, Bytes: 11}, sum)
				require.Equal(t, map[string]string{
					"1/": "", "1/model.pt": "weights", "config.json": "{}", "run.sh": "#!", "latest": "-> 1/model.pt",
				}, tree(t, dest))
			}
			info, err := os.Stat(filepath.Join(dest, "run.sh"))
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o755), info.Mode().Perm())
			info, err = os.Stat(filepath.Join(dest, "config.json"))
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o644), info.Mode().Perm())
		})
	}
}

func TestHostileArchivesAreRefusedAndNothingLeavesTheFolder(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		want    string
	}{
		"a name that climbs":          {[]entry{{name: "a/../../x", body: "!"}}, "climbs"},
		"an absolute name":            {[]entry{{name: "/etc/x", body: "!"}}, "absolute name"},
		"a Windows name that climbs":  {[]entry{{name: `..\x`, body: "!"}}, "climbs"},
		"a link with absolute target": {[]entry{{name: "x", link: "/etc/passwd"}}, "absolute target"},
		"a link that climbs":          {[]entry{{name: "x", link: "../secret"}}, "leads out"},
		"a file below a link": {
			[]entry{{name: "a", link: "b"}, {name: "a/x", body: "!"}}, "replacing",
		},
		"a link that climbs through another": {
			[]entry{{name: "a/b/c/s", link: "../../../"}, {name: "a/b/c/t", link: "s/../secret"}}, "after a name",
		},
		"a link made through another": {
			[]entry{{name: "a/s", link: ".."}, {name: "a/s/t", link: "../../secret"}}, "does not stay within",
		},
		"links in a circle":               {[]entry{{name: "a", link: "b"}, {name: "b", link: "a"}}, "does not stay within"},
		"the reserved folder":             {[]entry{{name: ".work/x", body: "!"}}, "reserved"},
		"more entries than allowed":       {[]entry{{name: "1"}, {name: "2"}, {name: "3"}, {name: "4"}}, "more than 3 entries"},
		"more bytes than allowed":         {[]entry{{name: "1", body: strings.Repeat("x", 60)}, {name: "2", body: strings.Repeat("x", 41)}}, "more than 100 bytes"},
		"a zero byte in a name":           {[]entry{{name: "a\x00b", body: "!"}}, "zero byte"},
		"a folder where a file is listed": {[]entry{{name: "a/b", body: "1"}, {name: "a", body: "2"}}, "replacing"},
	} {
		for kind, pack := range map[Kind]func(*testing.T, ...entry) []byte{Tar: tarOf, Zip: zipOf} {
			if kind == Tar && strings.Contains(c.entries[0].name, "\x00") {
				continue // cannot be written as tar
			}
			t.Run(name+" in a "+string(kind), func(t *testing.T) {
				outer := t.TempDir()
				dest := filepath.Join(outer, "dest")
				require.NoError(t, os.Mkdir(dest, 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(outer, "secret"), []byte("s"), 0o600))
				_, err := Unpack(context.Background(), write(t, pack(t, c.entries...)), kind,
					Options{Dest: dest, Reserved: ".work", MaxBytes: 100, MaxEntries: 3})
				require.ErrorContains(t, err, c.want)
				inside := tree(t, dest)
				for name, body := range inside {
					require.NotContains(t, body, "-> ", "link %s is left", name)
				}
				entries, err := os.ReadDir(outer)
				require.NoError(t, err)
				require.Len(t, entries, 2)
			})
		}
	}
}

func TestTarRefusesSpecialFilesAndForeignHardLinks(t *testing.T) {
	for name, c := range map[string]struct {
		entry entry
		want  string
	}{
		"a device":                   {entry{name: "x", typ: tar.TypeChar}, "only files, folders and links"},
		"a pipe":                     {entry{name: "x", typ: tar.TypeFifo}, "only files, folders and links"},
		"a hard link that climbs":    {entry{name: "x", typ: tar.TypeLink, link: "../secret"}, "climbs"},
		"a hard link to itself":      {entry{name: "x", typ: tar.TypeLink, link: "./x"}, "its own target"},
		"a hard link to no file":     {entry{name: "x", typ: tar.TypeLink, link: "y"}, "linking"},
		"an absolute hard link":      {entry{name: "x", typ: tar.TypeLink, link: "/etc/passwd"}, "absolute"},
		"a hard link without target": {entry{name: "x", typ: tar.TypeLink}, "empty name"},
	} {
		t.Run(name, func(t *testing.T) {
			dest := t.TempDir()
			_, err := Unpack(context.Background(), write(t, tarOf(t, c.entry)), Tar, Options{Dest: dest})
			require.ErrorContains(t, err, c.want)
			require.Empty(t, tree(t, dest))
		})
	}
}

func TestALaterEntryDoesNotWriteThroughAHardLink(t *testing.T) {
	dest := t.TempDir()
	_, err := Unpack(context.Background(), write(t, tarOf(t,
		entry{name: "a", body: "first"}, entry{name: "b", link: "a", typ: tar.TypeLink}, entry{name: "b", body: "second"},
	)), Tar, Options{Dest: dest})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "first", "b": "second"}, tree(t, dest))
}

func TestALinkFromAnEarlierRunIsNotFollowed(t *testing.T) {
	outside, dest := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dest, "sub")))
	_, err := Unpack(context.Background(), write(t, tarOf(t, entry{name: "sub/x", body: "!"})), Tar, Options{Dest: dest})
	require.Error(t, err)
	require.Empty(t, tree(t, outside))
}

func TestPatternsSkipFilesAndTheirEmptyFolders(t *testing.T) {
	dest := t.TempDir()
	sum, err := Unpack(context.Background(), write(t, tarOf(t,
		entry{name: "onnx/"}, entry{name: "onnx/model.onnx", body: "o"}, entry{name: "pt/"}, entry{name: "pt/model.pt", body: "p"},
	)), Tar, Options{Dest: dest, Keep: func(name string) bool { return strings.HasSuffix(name, ".pt") }})
	require.NoError(t, err)
	require.Equal(t, Summary{Files: 1, Bytes: 1, Skipped: 1}, sum)
	require.Equal(t, map[string]string{"pt/": "", "pt/model.pt": "p"}, tree(t, dest))
}

func TestDamagedArchivesAreErrors(t *testing.T) {
	whole := gzipOf(t, tarOf(t, entry{name: "a", body: strings.Repeat("abc", 5000)}))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 0xff // gzip's checksum
	zipped := zipOf(t, entry{name: "a", body: strings.Repeat("abc", 5000)})
	for name, c := range map[string]struct {
		kind Kind
		body []byte
	}{
		"a gzip cut short":         {TarGzip, whole[:len(whole)/2]},
		"a gzip with a wrong sum":  {TarGzip, flipped},
		"a web page called tar.gz": {TarGzip, []byte("<html>login</html>")},
		"a zip cut short":          {Zip, zipped[:len(zipped)/2]},
		"a web page called tar":    {Tar, bytes.Repeat([]byte("<html>"), 200)},
		"a kind that nobody knows": {Kind("rar"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Unpack(context.Background(), write(t, c.body), c.kind, Options{Dest: t.TempDir()})
			require.Error(t, err)
		})
	}
}

func TestUnpackingStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Unpack(ctx, write(t, tarOf(t, entry{name: "a"})), Tar, Options{Dest: t.TempDir()})
	require.ErrorIs(t, err, context.Canceled)
}

func TestKindsAreToldByNameAndContentType(t *testing.T) {
	require.Equal(t, TarGzip, KindOfName("Model.TAR.GZ"))
	require.Equal(t, TarGzip, KindOfName("m.tgz"))
	require.Equal(t, Tar, KindOfName("m.tar"))
	require.Equal(t, Zip, KindOfName("m.zip"))
	require.Equal(t, None, KindOfName("model.pkl.gz"))
	require.Equal(t, Zip, KindOfContentType("application/zip; charset=binary"))
	require.Equal(t, None, KindOfContentType("application/octet-stream"))
	require.True(t, IsGzipType("application/x-gzip"))
	require.False(t, IsGzipType("not a type;;"))
	gz, err := Sniff(write(t, gzipOf(t, []byte("pickle"))))
	require.NoError(t, err)
	require.Equal(t, None, gz)
}

// FuzzCleanName holds the promise that matters: joined to a folder, no accepted name
// is outside of it.
func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "./", "a/./b//c", `a\..\b`, "..a", "a/..", "/", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name, err := CleanName(raw)
		if err != nil {
			require.Empty(t, name)
			return
		}
		require.True(t, filepath.IsLocal(name), "%q became %q", raw, name)
		again, err := CleanName(name)
		require.NoError(t, err)
		require.Equal(t, name, again)
	})
}

// FuzzCleanLink does the same for targets of links.
func FuzzCleanLink(f *testing.F) {
	f.Add("a/b", "../c")
	f.Add("a", "..")
	f.Add("a/b/c", "../../../x")
	f.Fuzz(func(t *testing.T, rawName, rawTarget string) {
		name, err := CleanName(rawName)
		if err != nil {
			t.Skip()
		}
		target, err := CleanLink(name, rawTarget)
		if err != nil {
			return
		}
		require.False(t, filepath.IsAbs(target))
		require.True(t, filepath.IsLocal(filepath.Join(filepath.Dir(name), target)), "%q -> %q", name, target)
	})
}
