package deployer

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// provisionVolume is the volume that a single model is downloaded to.
const provisionVolume = "kserve-provision-location"

// claimVolume is the volume of a model on a PersistentVolumeClaim.
const claimVolume = "kserve-pvc-source"

// source is one thing that a server finds in its file system.
type source struct {
	URI       string
	MountPath string
	// Field is where the user wrote it.
	Field string
	// Override and Secret are of a source that a storage spec describes.
	Override map[string]string
	Entry    *StorageEntry
}

// handling says how a source gets into the pod.
type handling int

const (
	// download has the storage initializer fetch it.
	download handling = iota
	// mountClaim mounts a PersistentVolumeClaim.
	mountClaim
	// mountImage mounts an image as a volume.
	mountImage
	// refuse is a scheme of KServe's that nothing here can fetch yet.
	refuse
)

// schemes are the known beginnings of storage URIs. The first match counts.
var schemes = []struct {
	prefix   string
	handling handling
	remedy   string
}{
	{"pvc://", mountClaim, ""},
	{"oci+native://", mountImage, ""},
	{"oci+modelcar://", refuse, "use oci+native:// on Kubernetes 1.35 or later"},
	{"oci+fetch://", refuse, "use oci+native:// on Kubernetes 1.35 or later"},
	{"oci://", refuse, "use oci+native:// on Kubernetes 1.35 or later"},
	{"gs://", download, ""},
	{"s3://", download, ""},
	{"hdfs://", download, ""},
	{"webhdfs://", download, ""},
	{"hf://", download, ""},
	{"modelscope://", download, ""},
	{"https://", download, ""},
	{"http://", download, ""},
	{"file://", download, ""},
	// A path in the initializer's own image.
	{"/", download, ""},
}

func (s source) handling() (handling, error) {
	var known []string
	for _, row := range schemes {
		if !strings.HasPrefix(s.URI, row.prefix) {
			if row.handling != refuse {
				known = append(known, row.prefix)
			}
			continue
		}
		if row.handling == refuse {
			return refuse, &RenderError{ReasonStorageNotSupported, s.Field, fmt.Sprintf("%s is not supported; %s", row.prefix, row.remedy)}
		}
		return row.handling, nil
	}
	return refuse, &RenderError{ReasonStorageNotSupported, s.Field, fmt.Sprintf("the scheme of %q is not known; use one of %s", s.URI, strings.Join(known, " "))}
}

// findStorage lists what the server is to find in its file system.
func (w *workload) findStorage() error {
	c := w.server()
	switch {
	case len(w.predictor.StorageURIs) > 0:
		for i, u := range w.predictor.StorageURIs {
			mountPath := u.MountPath
			if mountPath == "" {
				mountPath = v1beta1.ModelMountPath
			}
			w.sources = append(w.sources, source{URI: u.URI, MountPath: mountPath, Field: fmt.Sprintf("spec.predictor.storageUris[%d]", i)})
		}
	case w.model != nil && w.model.StorageURI != nil && *w.model.StorageURI != "":
		w.sources = []source{{URI: *w.model.StorageURI, MountPath: v1beta1.ModelMountPath, Field: "spec.predictor.model.storageUri"}}
	case w.model != nil && w.model.Storage != nil:
		if w.in.onlyPorts {
			// Where exactly the model is does not matter, and nobody has read secrets.
			w.sources = []source{{URI: "s3://", MountPath: v1beta1.ModelMountPath}}
			break
		}
		s, err := w.storageSpec(w.model.Storage)
		if err != nil {
			return err
		}
		w.sources = []source{s}
	case w.model == nil:
		e := envOf(c, v1beta1.EnvStorageURI)
		if e == nil {
			break
		}
		field := w.field(v1beta1.ContainerServer, "env["+v1beta1.EnvStorageURI+"]")
		if e.ValueFrom != nil || e.Value == "" {
			return invalid(field, "it has no value of its own; give the URI as value, or use storageUris")
		}
		w.sources = []source{{URI: e.Value, MountPath: v1beta1.ModelMountPath, Field: field}}
		e.Value = v1beta1.ModelMountPath
	}
	for _, s := range w.sources {
		if _, err := s.handling(); err != nil {
			return err
		}
		if !path.IsAbs(s.MountPath) || path.Clean(s.MountPath) == "/" || slices.Contains(strings.Split(s.MountPath, "/"), "..") {
			return invalid(s.Field+".mountPath", "%q cannot be mounted; give an absolute path below /, without ..", s.MountPath)
		}
	}
	return nil
}

// storageSpec turns a storage spec into a source, with type and bucket of the
// storage secret's entry where the parameters do not give them.
func (w *workload) storageSpec(spec *v1beta1.StorageSpec) (source, error) {
	const field = "spec.predictor.model.storage"
	var parameters map[string]string
	if spec.Parameters != nil {
		parameters = *spec.Parameters
	}
	kind, bucket := parameters["type"], parameters["bucket"]
	var entry *StorageEntry
	if spec.StorageKey != nil && *spec.StorageKey != "" {
		found, ok := w.in.Credentials.Storage[*spec.StorageKey]
		if !ok {
			return source{}, &RenderError{ReasonCredentialsMissing, field + ".key", fmt.Sprintf("secret %q has no entry %q; add it", w.in.Credentials.storageSecret(w.in.Config.Credentials), *spec.StorageKey)}
		}
		entry = &found
	} else {
		key := "default"
		if kind != "" {
			key += "_" + kind
		}
		if found, ok := w.in.Credentials.Storage[key]; ok {
			entry = &found
		}
	}
	if entry != nil {
		if kind == "" {
			kind = entry.Type
		}
		if bucket == "" {
			bucket = entry.Bucket
		}
	}
	var location string
	if spec.Path != nil {
		location = strings.TrimPrefix(*spec.Path, "/")
	}
	s := source{MountPath: v1beta1.ModelMountPath, Field: field, Override: parameters, Entry: entry}
	switch kind {
	case "s3":
		if bucket == "" {
			return source{}, invalid(field+".parameters", "the bucket is not known; set parameters.bucket, or bucket in the storage secret's entry")
		}
		s.URI = "s3://" + bucket + "/" + location
	case "hdfs", "webhdfs":
		s.URI = kind + "://" + location
	case "":
		return source{}, invalid(field+".parameters", "the type of storage is not known; set parameters.type to s3, hdfs or webhdfs, or key to an entry of secret %q", w.in.Credentials.storageSecret(w.in.Config.Credentials))
	default:
		return source{}, &RenderError{ReasonStorageNotSupported, field + ".parameters", fmt.Sprintf("type %q is not supported; use s3, hdfs or webhdfs", kind)}
	}
	return s, nil
}

// mountStorage adds the volumes of all sources and mounts them.
func (w *workload) mountStorage() error {
	readOnly := !strings.EqualFold(w.allAnnotations[v1beta1.AnnotationStorageReadonly], "false")
	var claims []string
	for i, s := range w.sources {
		how, err := s.handling()
		if err != nil {
			return err
		}
		switch how {
		case mountClaim:
			claim, sub, _ := strings.Cut(strings.TrimPrefix(s.URI, "pvc://"), "/")
			if problems := validation.IsDNS1123Subdomain(claim); len(problems) > 0 {
				return invalid(s.Field, "%q names no claim: %s; write pvc://claim/path", s.URI, problems[0])
			}
			n := slices.Index(claims, claim)
			if n < 0 {
				n, claims = len(claims), append(claims, claim)
				err = w.addVolume(s, corev1.Volume{Name: numbered(claimVolume, n), VolumeSource: corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
				}})
			}
			if err == nil {
				err = w.mount(s, corev1.VolumeMount{Name: numbered(claimVolume, n), MountPath: s.MountPath, SubPath: strings.Trim(sub, "/"), ReadOnly: readOnly})
			}
		case mountImage:
			name := numbered("kserve-oci-source", i)
			err = w.addVolume(s, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				Image: &corev1.ImageVolumeSource{Reference: strings.TrimPrefix(s.URI, "oci+native://"), PullPolicy: corev1.PullIfNotPresent},
			}})
			if err == nil {
				// An image volume can only be read.
				err = w.mount(s, corev1.VolumeMount{Name: name, MountPath: s.MountPath, SubPath: "models", ReadOnly: true})
			}
		}
		if err != nil {
			return err
		}
	}
	downloads := w.downloads()
	if len(downloads) == 0 {
		return nil
	}
	volume, dir, err := downloadVolume(downloads)
	if err != nil {
		return err
	}
	err = w.addVolume(downloads[0], corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	if err != nil {
		return err
	}
	return w.mount(downloads[0], corev1.VolumeMount{Name: volume, MountPath: dir, ReadOnly: readOnly})
}

// downloads are the sources that the storage initializer fetches.
func (w *workload) downloads() []source {
	var list []source
	for _, s := range w.sources {
		if how, err := s.handling(); err == nil && how == download {
			list = append(list, s)
		}
	}
	return list
}

// downloadVolume names the volume that all downloads share and the folder where
// it is mounted: /mnt/models for one model, their common parent for several.
func downloadVolume(downloads []source) (name, dir string, err error) {
	dir = path.Clean(downloads[0].MountPath)
	for _, s := range downloads[1:] {
		for !within(path.Clean(s.MountPath), dir) {
			dir = path.Dir(dir)
		}
	}
	if dir == "/" {
		return "", "", invalid("spec.predictor.storageUris", "the mount paths share no parent below /; put them into one folder, for example /mnt/models/a and /mnt/models/b")
	}
	if dir == v1beta1.ModelMountPath && len(downloads) == 1 {
		return provisionVolume, dir, nil
	}
	name = strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-")
	if len(validation.IsDNS1123Label(name)) > 0 {
		// The folder's name is no name for a volume.
		name = provisionVolume
	}
	return name, dir, nil
}

func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

func (w *workload) addVolume(s source, v corev1.Volume) error {
	for _, other := range w.template.Spec.Volumes {
		if other.Name == v.Name {
			return invalid("spec.predictor.volumes["+v.Name+"]", "the name is needed for the volume of %s; rename the volume", s.Field)
		}
	}
	w.template.Spec.Volumes = append(w.template.Spec.Volumes, v)
	return nil
}

// mount mounts a volume into the containers that see the model's files.
func (w *workload) mount(s source, m corev1.VolumeMount) error {
	for _, c := range w.models() {
		for _, other := range c.VolumeMounts {
			if path.Clean(other.MountPath) == path.Clean(m.MountPath) {
				return invalid(w.field(c.Name, "volumeMounts["+other.Name+"]"), "%s is taken by %s; mount it elsewhere", m.MountPath, s.Field)
			}
		}
		c.VolumeMounts = append(c.VolumeMounts, m)
	}
	return nil
}

func convertJSON[T any](text string) (T, error) {
	var v T
	err := json.Unmarshal([]byte(text), &v)
	return v, err
}
