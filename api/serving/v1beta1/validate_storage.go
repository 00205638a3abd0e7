package v1beta1

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxMountPath is how long a mount path may be.
const maxMountPath = 255

// validateStorageURIs checks each entry, and that downloads can share a volume:
// they go into one volume mounted at the nearest folder above all of them, which
// must not be the root. Claims are mounted one by one, so their paths differ.
func validateStorageURIs(uris []StorageURI, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	var downloads []string
	claims := map[string]bool{}
	for i, u := range uris {
		at := path.Index(i)
		if u.URI == "" {
			errs = append(errs, field.Required(at.Child("uri"), "set what to download, for example gs://bucket/model"))
		}
		mount := u.MountPath
		if mount == "" {
			mount = ModelMountPath
		}
		if problem := mountPathProblem(mount); problem != "" {
			errs = append(errs, field.Invalid(at.Child("mountPath"), mount, problem))
			continue
		}
		if !strings.HasPrefix(u.URI, "pvc://") {
			downloads = append(downloads, mount)
			continue
		}
		if claims[mount] {
			errs = append(errs, field.Duplicate(at.Child("mountPath"), mount))
		}
		claims[mount] = true
	}
	if len(downloads) > 1 && commonFolder(downloads) == "/" {
		errs = append(errs, field.Invalid(path, downloads,
			"the mount paths of downloads must share a folder below /: use for example /mnt/models/a and /mnt/models/b"))
	}
	return errs
}

func mountPathProblem(path string) string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "must be absolute: start it with /"
	case strings.Trim(path, "/") == "":
		return "must not be the root: use for example /mnt/models"
	case strings.Contains(path, ".."):
		return "must not hold '..': write the path out"
	case len(path) > maxMountPath:
		return "must have at most 255 characters: shorten it"
	}
	return ""
}

// commonFolder returns the deepest folder that holds all paths or is one of them.
// /mnt/a/x and /mnt/a/y share /mnt/a; /a and /b share only /.
func commonFolder(paths []string) string {
	common := strings.Split(strings.Trim(paths[0], "/"), "/")
	for _, path := range paths[1:] {
		parts := strings.Split(strings.Trim(path, "/"), "/")
		n := 0
		for n < len(common) && n < len(parts) && common[n] == parts[n] {
			n++
		}
		common = common[:n]
	}
	return "/" + strings.Join(common, "/")
}

// validateEitherStorage checks that a component does not name its model twice.
func validateEitherStorage(uris []StorageURI, uri string, path *field.Path) field.ErrorList {
	if len(uris) == 0 || uri == "" {
		return nil
	}
	return field.ErrorList{field.Forbidden(path.Child("storageUris"),
		"storageUri is set too, and they exclude each other: move storageUri into storageUris")}
}

// customStorage returns what a custom server asks to download.
func customStorage(containers []corev1.Container) string {
	i := ServerIndex(containers)
	if i < 0 {
		return ""
	}
	if env := findEnv(containers[i].Env, EnvStorageURI); env != nil {
		return env.Value
	}
	return ""
}
