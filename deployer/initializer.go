package deployer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// initializerEnv is what KServe sets for downloads from Hugging Face.
var initializerEnv = []corev1.EnvVar{
	{Name: "HF_HUB_ENABLE_HF_TRANSFER", Value: "1"},
	{Name: "HF_XET_HIGH_PERFORMANCE", Value: "1"},
	{Name: "HF_XET_NUM_CONCURRENT_RANGE_GETS", Value: "8"},
}

// fromServer are variables of the server that are meant for the download.
var fromServer = []string{"STORAGE_ALLOW_PATTERNS", "STORAGE_IGNORE_PATTERNS"}

// downloadStorage adds the init container that fetches models. It runs after
// the user's own init containers, which may prepare something for it. One that is
// already called storage-initializer replaces ours, as in KServe.
func (w *workload) downloadStorage() error {
	downloads := w.downloads()
	if len(downloads) == 0 {
		return nil
	}
	spec := &w.template.Spec
	if slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool { return c.Name == StorageInitializerContainer }) {
		return nil
	}
	volume, dir, err := downloadVolume(downloads)
	if err != nil {
		return err
	}
	cfg := w.in.Config.StorageInitializer
	c := corev1.Container{
		Name:                     StorageInitializerContainer,
		Image:                    cfg.Image,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		Command:                  slices.Clone(cfg.Command),
		Resources:                *cfg.Resources.DeepCopy(),
		VolumeMounts:             []corev1.VolumeMount{{Name: volume, MountPath: dir}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          restricted(cfg.RunAsUser, cfg.ReadOnlyRootFilesystem == nil || *cfg.ReadOnlyRootFilesystem),
	}
	for _, s := range downloads {
		c.Args = append(c.Args, s.URI, s.MountPath)
		if err := addStorageEntry(&c, s); err != nil {
			return err
		}
	}
	for _, name := range fromServer {
		if e := envOf(w.server(), name); e != nil {
			c.Env = append(c.Env, *e)
		}
	}
	if err := w.addCredentials(&c, downloads); err != nil {
		return err
	}
	for _, e := range initializerEnv {
		setEnv(&c, e.Name, e.Value)
	}
	spec.InitContainers = append(spec.InitContainers, c)
	return nil
}

// addStorageEntry passes a storage spec's secret entry and parameters on.
func addStorageEntry(c *corev1.Container, s source) error {
	if s.Entry != nil {
		c.Env = append(c.Env, corev1.EnvVar{Name: "STORAGE_CONFIG", ValueFrom: secretKey(s.Entry.Secret, s.Entry.Key)})
	}
	if len(s.Override) > 0 {
		b, err := json.Marshal(s.Override)
		if err != nil {
			return fmt.Errorf("encoding %s.parameters: %w", s.Field, err)
		}
		c.Env = append(c.Env, corev1.EnvVar{Name: "STORAGE_OVERRIDE_CONFIG", Value: string(b)})
	}
	return nil
}

// addCredentials gives the download what the secrets offer.
func (w *workload) addCredentials(c *corev1.Container, downloads []source) error {
	creds, cfg := w.in.Credentials, w.in.Config.StorageInitializer
	c.Env = mergeEnv(c.Env, creds.Env)
	for _, m := range creds.Mounts {
		err := w.addVolume(source{Field: "secret " + m.Secret}, corev1.Volume{Name: m.Volume, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: m.Secret},
		}})
		if err != nil {
			return err
		}
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: m.Volume, MountPath: m.MountPath, ReadOnly: true})
	}
	// What belongs to the model goes before what belongs to the installation.
	var bundle string
	if e := downloads[0].Entry; e != nil {
		bundle = e.CABundleConfigMap
	}
	bundle = cmp.Or(bundle, creds.CABundleConfigMap, cfg.CABundleConfigMapName)
	if bundle == "" {
		return nil
	}
	dir, err := w.bundleDir(c)
	if err != nil {
		return err
	}
	const volume = "cabundle-cert"
	err = w.addVolume(source{Field: "the CA bundle"}, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: bundle}},
	}})
	if err != nil {
		return err
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: dir, ReadOnly: true})
	setEnv(c, "CA_BUNDLE_CONFIGMAP_NAME", bundle)
	setEnv(c, "CA_BUNDLE_VOLUME_MOUNT_POINT", dir)
	return nil
}

// bundleDir is where the ConfigMap with certificates is mounted: where AWS_CA_BUNDLE
// says that its file is, else the configured folder.
func (w *workload) bundleDir(c *corev1.Container) (string, error) {
	e := envOf(c, "AWS_CA_BUNDLE")
	if e == nil || e.Value == "" {
		return w.in.Config.StorageInitializer.CABundleVolumeMountPath, nil
	}
	dir := path.Dir(e.Value)
	taken := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == dir })
	if !path.IsAbs(dir) || dir == "/" || taken {
		return "", invalid("serviceaccount["+ServiceAccountName(w.isvc)+"].secrets", "annotation serving.kserve.io/s3-cabundle: the ConfigMap cannot be mounted at the folder of %q; give an absolute path in a folder of its own, for example /etc/ssl/custom-certs/cabundle.crt", e.Value)
	}
	return dir, nil
}

// restricted is the security context of containers of ours: the restricted pod
// security standard, so that they run in any namespace.
func restricted(user *int64, readOnlyRoot bool) *corev1.SecurityContext {
	no, yes := false, true
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no,
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		Privileged:               &no,
		ReadOnlyRootFilesystem:   &readOnlyRoot,
		RunAsNonRoot:             &yes,
		RunAsUser:                user,
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func secretKey(secret, key string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key,
	}}
}
