package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An init container may run again: after a failure, and when a node's restart makes
// kubelet build the pod's sandbox anew. Its own file system is lost then and the
// model's volume is kept, so the notes live there:
//
//   - While the run lasts, a hidden folder in each destination holds partial files, and
//     a file "done" for each source that is complete.
//   - At the end the hidden folder is removed, since model servers list the folder, and
//     an extended attribute of the destination says what is complete. It is no file.
//     Where the file system has no such attributes, a rerun downloads again.

// workFolder is the hidden folder within a destination.
const workFolder = ".rawserve-storage"

// doneFile marks a source as complete within its folder of the workFolder.
const doneFile = "done"

// attribute is the extended attribute's name.
const attribute = "user.rawserve.storage"

// key tells the sources of one destination apart.
func (s Source) key() string {
	sum := sha256.Sum256([]byte(s.URI + "\x00" + s.Dest))
	return hex.EncodeToString(sum[:8])
}

// done reports whether an earlier process has finished this job with these settings.
func (j job) done(s Settings) bool {
	got, err := os.ReadFile(filepath.Join(j.work, doneFile))
	return err == nil && string(got) == s.digest()
}

func (j job) markDone(s Settings) error {
	if err := os.WriteFile(filepath.Join(j.work, doneFile), []byte(s.digest()), 0o600); err != nil {
		return fmt.Errorf("noting that %s is complete: %w", j.uri.redacted(), err)
	}
	return nil
}

// marks are the notes about a whole run.
type marks struct {
	folders []string
	digest  string
}

func newMarks(jobs []job, s Settings) marks {
	var m marks
	all := []string{s.digest()}
	for _, j := range jobs {
		m.folders = append(m.folders, j.Dest)
		all = append(all, j.URI, j.Dest)
	}
	slices.Sort(m.folders)
	m.folders = slices.Compact(m.folders)
	sum := sha256.Sum256([]byte(strings.Join(all, "\x00")))
	m.digest = hex.EncodeToString(sum[:])
	return m
}

// complete reports whether a former run has completed all of this and the folders look
// as it left them. A node that lost its power may have lost file contents, too, which
// shows in their sizes.
func (m marks) complete() bool {
	for _, folder := range m.folders {
		got, err := getAttribute(folder, attribute)
		if err != nil {
			return false
		}
		want, err := m.value(folder)
		if err != nil || got != want {
			return false
		}
	}
	return len(m.folders) > 0
}

func (m marks) set() error {
	for _, folder := range m.folders {
		value, err := m.value(folder)
		if err != nil {
			return err
		}
		if err := setAttribute(folder, attribute, value); err != nil {
			return err
		}
	}
	return nil
}

// value describes a complete folder: the sources, the number of files and their bytes.
func (m marks) value(folder string) (string, error) {
	files, bytes := 0, int64(0)
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	return fmt.Sprintf("%s %d %d", m.digest, files, bytes), err
}
