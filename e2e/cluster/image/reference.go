package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Canonical completes a reference as the kubelet does before it asks the
// container runtime, so that an image is stored under the name it is asked by.
//
//	web            docker.io/library/web:latest
//	team/web:1     docker.io/team/web:1
//	localhost/web  localhost/web:latest
func Canonical(reference string) string {
	host, rest, ok := strings.Cut(reference, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, rest = "docker.io", reference
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	if !strings.ContainsAny(rest, ":@") {
		rest += ":latest"
	}
	return host + "/" + rest
}

// maxIndex bounds the index of an archive, which is read into memory.
const maxIndex = 16 << 20

// References lists the complete names of the images in an archive, be it a
// docker-archive or an OCI layout. Layouts name images by an annotation, and
// many leave the repository out of it: an image without a full name cannot be
// asked for by a pod, and is an error.
func References(archive string) ([]string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("reading archive: %w", err)
	}
	defer f.Close()
	references, err := references(f)
	if err != nil {
		return nil, fmt.Errorf("reading archive %s: %w", archive, err)
	}
	return references, nil
}

// ErrUnnamed says that an archive does not name its images.
var ErrUnnamed = errors.New("no image in it has a name with a repository: write it with one, for example as a docker-archive")

func references(r io.Reader) ([]string, error) {
	var fromManifest, fromIndex []string
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch strings.TrimPrefix(h.Name, "./") {
		case "manifest.json":
			fromManifest, err = manifestNames(io.LimitReader(tr, maxIndex))
		case "index.json":
			fromIndex, err = indexNames(io.LimitReader(tr, maxIndex))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	// Docker writes both: the index first counts for containerd as well.
	names := fromIndex
	if len(names) == 0 {
		names = fromManifest
	}
	if len(names) == 0 {
		return nil, ErrUnnamed
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func manifestNames(r io.Reader) ([]string, error) {
	var manifest []struct{ RepoTags []string }
	if err := json.NewDecoder(r).Decode(&manifest); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range manifest {
		for _, tag := range m.RepoTags {
			names = append(names, Canonical(tag))
		}
	}
	return names, nil
}

func indexNames(r io.Reader) ([]string, error) {
	var index struct {
		Manifests []struct{ Annotations map[string]string }
	}
	if err := json.NewDecoder(r).Decode(&index); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range index.Manifests {
		for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
			// A bare tag holds neither a slash nor a colon.
			if n := m.Annotations[key]; strings.ContainsAny(n, "/:") {
				names = append(names, Canonical(n))
				break
			}
		}
	}
	return names, nil
}
