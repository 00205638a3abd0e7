package deployer

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// Credentials are what secrets offer to a download: names of secrets, keys and
// variables. They hold no secret value; what is read of values is only what names
// a place: the host of a header secret, the type and bucket of a storage entry.
type Credentials struct {
	// Env are variables for the storage initializer.
	Env []corev1.EnvVar
	// Mounts are secrets to be mounted into it.
	Mounts []SecretMount
	// CABundleConfigMap is a ConfigMap with certificates to trust, empty for none.
	CABundleConfigMap string
	// Storage are the entries of the storage secret by key.
	Storage map[string]StorageEntry
	// StorageSecret is the name of the storage secret that was looked for.
	StorageSecret string
	// Missing are secrets that the service account lists but that do not exist.
	Missing []string
}

// SecretMount is a secret to be mounted.
type SecretMount struct {
	// Volume is the name of the volume.
	Volume string
	// Secret is the name of the secret.
	Secret string
	// MountPath is where its keys appear as files.
	MountPath string
}

// StorageEntry is one entry of the storage secret.
type StorageEntry struct {
	// Secret and Key are where the entry is.
	Secret, Key string
	// Type is s3, hdfs or webhdfs; empty if the entry does not say.
	Type string
	// Bucket is the bucket's name, empty if the entry does not say.
	Bucket string
	// CABundleConfigMap is a ConfigMap with certificates to trust.
	CABundleConfigMap string
}

func (c Credentials) storageSecret(cfg CredentialsConfig) string {
	if c.StorageSecret != "" {
		return c.StorageSecret
	}
	return cfg.StorageSpecSecretName
}

// ServiceAccountName is the service account whose secrets are looked at.
func ServiceAccountName(isvc *v1beta1.InferenceService) string {
	for _, name := range []string{isvc.Spec.Predictor.ServiceAccountName, isvc.Spec.Predictor.DeprecatedServiceAccount} {
		if name != "" {
			return name
		}
	}
	return "default"
}

// StorageSecretName is the secret that an annotation names in place of those of the
// service account, empty for none. runtime is nil for custom containers.
func StorageSecretName(isvc *v1beta1.InferenceService, runtime *ChosenRuntime) string {
	return mergedAnnotations(isvc, runtime)[v1beta1.AnnotationStorageSecretName]
}

// CredentialSecrets lists the names of the secrets that CredentialsFrom wants to
// see, so that the caller reads no others. named is StorageSecretName's; sa is nil
// if it does not exist.
func CredentialSecrets(isvc *v1beta1.InferenceService, named string, sa *corev1.ServiceAccount, cfg Config) []string {
	if named != "" {
		return []string{named}
	}
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if sa != nil {
		for _, ref := range sa.Secrets {
			add(ref.Name)
		}
	}
	if m := isvc.Spec.Predictor.Model; m != nil && m.Storage != nil {
		add(cfg.Credentials.StorageSpecSecretName)
	}
	return names
}

// CredentialsFrom looks through secrets as KServe does: for each secret the first
// kind whose keys it has. named, from StorageSecretName, is a secret to use in place
// of those of the service account. The options of an account with a role for S3
// come first and those of secrets over them. secrets are those that exist of the
// ones that CredentialSecrets lists; sa is nil if there is none.
func CredentialsFrom(sa *corev1.ServiceAccount, secrets []*corev1.Secret, named string, cfg Config) (Credentials, error) {
	creds := Credentials{StorageSecret: cfg.Credentials.StorageSpecSecretName, Storage: map[string]StorageEntry{}}
	find := func(name string) *corev1.Secret {
		i := slices.IndexFunc(secrets, func(s *corev1.Secret) bool { return s.Name == name })
		if i < 0 {
			return nil
		}
		return secrets[i]
	}
	if sa != nil && sa.Annotations["eks.amazonaws.com/role-arn"] != "" {
		// The role gives the credentials; the options still come from annotations.
		creds.addS3Options(sa.Annotations, cfg.Credentials.S3)
	}
	if named != "" {
		s := find(named)
		if s == nil {
			return Credentials{}, &RenderError{ReasonCredentialsMissing, annotationField(v1beta1.AnnotationStorageSecretName), fmt.Sprintf("secret %q does not exist; create it, or correct the name", named)}
		}
		creds.StorageSecret = named
		creds.read(s, cfg.Credentials)
		creds.readStorage(s)
		return creds, nil
	}
	if sa != nil {
		for _, ref := range sa.Secrets {
			s := find(ref.Name)
			switch {
			case ref.Name == "":
			case s == nil:
				creds.Missing = append(creds.Missing, ref.Name)
			default:
				creds.read(s, cfg.Credentials)
			}
		}
	}
	if s := find(creds.StorageSecret); s != nil {
		creds.readStorage(s)
	}
	return creds, nil
}

// kinds of secrets in the order in which they are recognized.
var kinds = []struct {
	name string
	// matches says whether a secret is of the kind.
	matches func(*corev1.Secret, CredentialsConfig) bool
	add     func(*Credentials, *corev1.Secret, CredentialsConfig)
}{
	{"S3", isS3, (*Credentials).addS3},
	{"GCS", isGCS, (*Credentials).addGCS},
	{"Azure", isAzure, (*Credentials).addAzure},
	{"HTTPS", isHTTPS, (*Credentials).addHTTPS},
	{"HDFS", isHDFS, (*Credentials).addHDFS},
	{"Hugging Face", hasKey("HF_TOKEN"), addToken("HF_TOKEN", "HF_TOKEN")},
	{"ModelScope", hasKey("MODELSCOPE_API_TOKEN"), addToken("MODELSCOPE_API_TOKEN", "MODELSCOPE_API_TOKEN")},
	// KServe's key before its release 0.21. Storage initializers of that time read the
	// variable of that name; later ones, as ModelScope's own client, read the other.
	{"ModelScope, former key", hasKey("MS_TOKEN"), addToken("MS_TOKEN", "MODELSCOPE_API_TOKEN", "MS_TOKEN")},
}

// read adds what a secret offers. Secrets of other kinds offer nothing: service
// accounts list tokens and registry passwords too.
func (c *Credentials) read(s *corev1.Secret, cfg CredentialsConfig) {
	for _, k := range kinds {
		if k.matches(s, cfg) {
			k.add(c, s, cfg)
			return
		}
	}
}

// readStorage lists the entries of a storage secret. Entries that are not JSON
// are listed too: the storage initializer has the last word on them.
func (c *Credentials) readStorage(s *corev1.Secret) {
	for key, value := range s.Data {
		entry := StorageEntry{Secret: s.Name, Key: key}
		if fields, err := convertJSON[map[string]any](string(value)); err == nil {
			text := func(name string) string { t, _ := fields[name].(string); return t }
			entry.Type, entry.Bucket, entry.CABundleConfigMap = text("type"), text("bucket"), text("cabundle_configmap")
		}
		c.Storage[key] = entry
	}
}

// env adds a variable, in place of what the service account or an earlier secret
// has given, as in KServe.
func (c *Credentials) env(e corev1.EnvVar) {
	if i := slices.IndexFunc(c.Env, func(o corev1.EnvVar) bool { return o.Name == e.Name }); i >= 0 {
		c.Env[i] = e
		return
	}
	c.Env = append(c.Env, e)
}

// envFrom adds a variable whose value is a key of a secret.
func (c *Credentials) envFrom(name string, s *corev1.Secret, key string) {
	c.env(corev1.EnvVar{Name: name, ValueFrom: secretKey(s.Name, key)})
}

// mount adds a secret's files. Of several secrets of a kind the first one counts,
// as in KServe: they are expected at the same place.
func (c *Credentials) mount(volume string, s *corev1.Secret, path string) {
	if !slices.ContainsFunc(c.Mounts, func(m SecretMount) bool { return m.Volume == volume }) {
		c.Mounts = append(c.Mounts, SecretMount{Volume: volume, Secret: s.Name, MountPath: path})
	}
}

func has(s *corev1.Secret, key string) bool { _, ok := s.Data[key]; return ok }

func hasKey(key string) func(*corev1.Secret, CredentialsConfig) bool {
	return func(s *corev1.Secret, _ CredentialsConfig) bool { return has(s, key) }
}

// firstKey returns the first of the keys that a secret has, or "".
func firstKey(s *corev1.Secret, keys ...string) string {
	for _, k := range keys {
		if k != "" && has(s, k) {
			return k
		}
	}
	return ""
}

// headerVariable is the variable in which the storage initializer looks for the
// headers of a host.
func headerVariable(host string) string { return strings.TrimSpace(host) + "-headers" }
