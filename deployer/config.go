package deployer

import (
	"fmt"
	"strings"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// Config is what an operator sets for all InferenceServices. DefaultConfig has
// the defaults; the fields left out of a file keep them.
type Config struct {
	// ClusterDomain is the suffix of the cluster's DNS names. Default cluster.local.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// Ingress makes URLs.
	Ingress IngressConfig `json:"ingress,omitempty"`
	// StorageInitializer downloads models before servers start.
	StorageInitializer StorageInitializerConfig `json:"storageInitializer,omitempty"`
	// Agent is the sidecar that counts, limits and drains requests.
	Agent AgentConfig `json:"agent,omitempty"`
	// Credentials says how secrets are recognized.
	Credentials CredentialsConfig `json:"credentials,omitempty"`
	// DefaultResources fill what custom containers leave out. Default 1 CPU and
	// 2Gi, requests and limits. Applied by v1beta1.Default, not by Render.
	DefaultResources corev1.ResourceRequirements `json:"defaultResources,omitempty"`
	// ServiceAnnotationDisallowedList are annotations that are never copied from an
	// InferenceService or runtime, beside those that KServe never copies.
	ServiceAnnotationDisallowedList []string `json:"serviceAnnotationDisallowedList,omitempty"`
	// ServiceLabelDisallowedList are labels that are never copied.
	ServiceLabelDisallowedList []string `json:"serviceLabelDisallowedList,omitempty"`
	// Rollout paces Deployments whose InferenceService gives no deploymentStrategy.
	Rollout RolloutConfig `json:"rollout,omitempty"`
	// ProgressDeadline is how long a Deployment may make no progress. Default 10m.
	ProgressDeadline metav1.Duration `json:"progressDeadline,omitempty"`
	// AutoMountServiceAccountToken is the default of the pods' field. Default true.
	AutoMountServiceAccountToken *bool `json:"autoMountServiceAccountToken,omitempty"`
	// GPUResourceTypes are resource names that count as GPUs, beside the known ones.
	GPUResourceTypes []string `json:"gpuResourceTypes,omitempty"`
}

// IngressConfig makes URLs.
type IngressConfig struct {
	// Domain is the domain of external host names. Default example.com.
	Domain string `json:"domain,omitempty"`
	// URLScheme of status.url: http, the default, or https.
	URLScheme string `json:"urlScheme,omitempty"`
	// DomainTemplate makes host names, with Name, Namespace, IngressDomain,
	// Annotations and Labels. Default {{.Name}}-{{.Namespace}}.{{.IngressDomain}}.
	DomainTemplate string `json:"domainTemplate,omitempty"`
}

// StorageInitializerConfig describes the init container that downloads models.
type StorageInitializerConfig struct {
	// Image to run. Default: rawserve's own. KServe's storage initializer can be
	// used with an empty Command.
	Image string `json:"image,omitempty"`
	// Command of the container. Default /app/storage-initializer. Empty means the
	// image's own, whenever Image is set.
	Command []string `json:"command,omitempty"`
	// Resources of the container. Default 100m to 1 CPU, 100Mi to 1Gi.
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// CABundleConfigMapName names a ConfigMap in the model's namespace with
	// certificates to trust in downloads. Default: none.
	CABundleConfigMapName string `json:"caBundleConfigMapName,omitempty"`
	// CABundleVolumeMountPath is where it is mounted. Default /etc/ssl/custom-certs.
	CABundleVolumeMountPath string `json:"caBundleVolumeMountPath,omitempty"`
	// RunAsUser is the user of the container. Default: the image's, which must be
	// a number other than 0.
	RunAsUser *int64 `json:"runAsUser,omitempty"`
	// ReadOnlyRootFilesystem protects the image's files. Default true; KServe's
	// image writes to its home and needs false.
	ReadOnlyRootFilesystem *bool `json:"readOnlyRootFilesystem,omitempty"`
}

// AgentConfig describes the agent.
type AgentConfig struct {
	// Image holds /app/agent. Default rawserve/rawserve:dev.
	Image string `json:"image,omitempty"`
	// Resources of the container. Default 25m CPU and 32Mi, at most 1 CPU and 256Mi.
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// DrainQuiet is how long a stopping pod must have been without requests before
	// its server is stopped. It has to outlast the time in which nodes learn that
	// the pod is no longer an endpoint. Default 3s.
	DrainQuiet metav1.Duration `json:"drainQuiet,omitempty"`
	// DrainTimeout is how long requests may go on in a stopping pod: of it and
	// spec.predictor.timeout the longer, with DrainReserve, is the termination grace
	// period of pods whose InferenceService gives none. A pod stops as soon as it is
	// quiet, so a long one costs nothing but where a request hangs. Default 10m: a
	// stream of tokens may take that long. It is also what a cluster autoscaler waits at most.
	DrainTimeout metav1.Duration `json:"drainTimeout,omitempty"`
	// DrainReserve is the part of a pod's termination grace period that is left to
	// the server after the drain. Default 5s.
	DrainReserve metav1.Duration `json:"drainReserve,omitempty"`
}

// CredentialsConfig says how secrets are recognized; see CredentialsFrom.
type CredentialsConfig struct {
	// StorageSpecSecretName is the secret that model.storage.key refers to. Default storage-config.
	StorageSpecSecretName string `json:"storageSpecSecretName,omitempty"`
	// GCSCredentialFileName is the data key of a Google service account's file.
	// Default gcloud-application-credentials.json.
	GCSCredentialFileName string `json:"gcsCredentialFileName,omitempty"`
	// S3 holds defaults for S3 secrets.
	S3 S3Config `json:"s3,omitempty"`
}

// S3Config holds the data keys by which S3 secrets are recognized and the
// options of secrets that carry no annotations of their own.
type S3Config struct {
	// AccessKeyIDName is a data key. Default AWS_ACCESS_KEY_ID; awsAccessKeyID is
	// always recognized too.
	AccessKeyIDName string `json:"s3AccessKeyIDName,omitempty"`
	// SecretAccessKeyName is a data key. Default AWS_SECRET_ACCESS_KEY;
	// awsSecretAccessKey is always recognized too.
	SecretAccessKeyName string `json:"s3SecretAccessKeyName,omitempty"`
	// Endpoint is a host, with port, other than Amazon's.
	Endpoint string `json:"s3Endpoint,omitempty"`
	// UseHTTPS is "0" for plain HTTP. Default: HTTPS.
	UseHTTPS string `json:"s3UseHttps,omitempty"`
	// Region of the bucket.
	Region string `json:"s3Region,omitempty"`
	// VerifySSL is "0" to accept any certificate.
	VerifySSL string `json:"s3VerifySSL,omitempty"`
	// UseVirtualBucket is "true" to put the bucket into the host name.
	UseVirtualBucket string `json:"s3UseVirtualBucket,omitempty"`
	// UseAccelerate is "true" for transfer acceleration.
	UseAccelerate string `json:"s3UseAccelerate,omitempty"`
	// UseAnonymousCredential is "true" for public buckets.
	UseAnonymousCredential string `json:"s3UseAnonymousCredential,omitempty"`
	// CABundle is the path of certificates to trust.
	CABundle string `json:"s3CABundle,omitempty"`
	// CABundleConfigMap is a ConfigMap with certificates to trust.
	CABundleConfigMap string `json:"s3CABundleConfigMap,omitempty"`
}

// RolloutConfig paces rolling updates.
type RolloutConfig struct {
	// MaxSurge is how many pods may be above the wanted number. Default 25%.
	MaxSurge intstr.IntOrString `json:"maxSurge,omitempty"`
	// MaxUnavailable is how many pods may be below it. Default 25%.
	MaxUnavailable intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// Image is the image that holds all of rawserve's binaries.
const Image = "rawserve/rawserve:dev"

// DefaultConfig returns the configuration of an installation without a file.
func DefaultConfig() Config {
	yes := true
	return Config{
		ClusterDomain: "cluster.local",
		Ingress: IngressConfig{
			Domain:         "example.com",
			URLScheme:      "http",
			DomainTemplate: "{{.Name}}-{{.Namespace}}.{{.IngressDomain}}",
		},
		StorageInitializer: StorageInitializerConfig{
			Image:                   Image,
			Command:                 []string{"/app/storage-initializer"},
			Resources:               resources("100m", "100Mi", "1", "1Gi"),
			CABundleVolumeMountPath: "/etc/ssl/custom-certs",
			ReadOnlyRootFilesystem:  &yes,
		},
		Agent: AgentConfig{
			Image:        Image,
			Resources:    resources("25m", "32Mi", "1", "256Mi"),
			DrainQuiet:   metav1.Duration{Duration: 3 * time.Second},
			DrainTimeout: metav1.Duration{Duration: 10 * time.Minute},
			DrainReserve: metav1.Duration{Duration: 5 * time.Second},
		},
		Credentials: CredentialsConfig{
			StorageSpecSecretName: "storage-config",
			GCSCredentialFileName: "gcloud-application-credentials.json",
			S3: S3Config{
				AccessKeyIDName:     "AWS_ACCESS_KEY_ID",
				SecretAccessKeyName: "AWS_SECRET_ACCESS_KEY",
			},
		},
		DefaultResources: resources("1", "2Gi", "1", "2Gi"),
		Rollout: RolloutConfig{
			MaxSurge:       intstr.FromString("25%"),
			MaxUnavailable: intstr.FromString("25%"),
		},
		ProgressDeadline:             metav1.Duration{Duration: 10 * time.Minute},
		AutoMountServiceAccountToken: &yes,
	}
}

func resources(cpuRequest, memoryRequest, cpuLimit, memoryLimit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse(cpuRequest),
			corev1.ResourceMemory: resource.MustParse(memoryRequest),
		},
		Limits: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse(cpuLimit),
			corev1.ResourceMemory: resource.MustParse(memoryLimit),
		},
	}
}

// Defaults is the part of the configuration that v1beta1.Default wants.
func (c Config) Defaults() v1beta1.DefaultsConfig {
	d := v1beta1.StockDefaults()
	d.Resources = c.DefaultResources
	d.NoServiceAccountToken = c.AutoMountServiceAccountToken != nil && !*c.AutoMountServiceAccountToken
	return d
}

// Validate checks a configuration and returns everything that is wrong with it.
func (c Config) Validate() error {
	var errs field.ErrorList
	for _, m := range validation.IsDNS1123Subdomain(c.ClusterDomain) {
		errs = append(errs, field.Invalid(field.NewPath("clusterDomain"), c.ClusterDomain, m))
	}
	errs = append(errs, c.Ingress.validate(field.NewPath("ingress"))...)
	errs = append(errs, c.StorageInitializer.validate(field.NewPath("storageInitializer"))...)
	errs = append(errs, c.Agent.validate(field.NewPath("agent"))...)
	errs = append(errs, c.Credentials.validate(field.NewPath("credentials"))...)
	errs = append(errs, c.Rollout.validate(field.NewPath("rollout"))...)
	if d := c.ProgressDeadline.Duration; d < time.Second || d%time.Second != 0 {
		errs = append(errs, field.Invalid(field.NewPath("progressDeadline"), d.String(), "give whole seconds, at least 1s, for example 10m"))
	}
	return errs.ToAggregate()
}

func (c IngressConfig) validate(p *field.Path) (errs field.ErrorList) {
	if c.URLScheme != "http" && c.URLScheme != "https" {
		errs = append(errs, field.NotSupported(p.Child("urlScheme"), c.URLScheme, []string{"http", "https"}))
	}
	for _, m := range validation.IsDNS1123Subdomain(c.Domain) {
		errs = append(errs, field.Invalid(p.Child("domain"), c.Domain, m))
	}
	if _, err := template.New("").Parse(c.DomainTemplate); err != nil {
		errs = append(errs, field.Invalid(p.Child("domainTemplate"), c.DomainTemplate, err.Error()))
	} else if !strings.Contains(c.DomainTemplate, ".Annotations") && !strings.Contains(c.DomainTemplate, ".Labels") {
		// With them the result depends on the InferenceService.
		if _, err := c.host("name", "namespace", nil, nil); err != nil {
			errs = append(errs, field.Invalid(p.Child("domainTemplate"), c.DomainTemplate, err.Error()))
		}
	}
	return errs
}

func (c StorageInitializerConfig) validate(p *field.Path) (errs field.ErrorList) {
	if c.Image == "" {
		errs = append(errs, field.Required(p.Child("image"), "name the image that downloads models"))
	}
	if !strings.HasPrefix(c.CABundleVolumeMountPath, "/") {
		errs = append(errs, field.Invalid(p.Child("caBundleVolumeMountPath"), c.CABundleVolumeMountPath, "give an absolute path"))
	}
	return append(errs, validateResources(p.Child("resources"), c.Resources)...)
}

// maxDrainTimeout is more than anybody waits for one pod.
const maxDrainTimeout = 7 * 24 * time.Hour

// grace is the termination grace period, in seconds, of pods whose requests last
// for at most longest, where the user gives none: max(1m, 10m) + 5s = 605.
func (c AgentConfig) grace(longest time.Duration) int64 {
	grace := max(longest, c.DrainTimeout.Duration) + c.DrainReserve.Duration
	return int64((grace + time.Second - 1) / time.Second)
}

func (c AgentConfig) validate(p *field.Path) (errs field.ErrorList) {
	if c.Image == "" {
		errs = append(errs, field.Required(p.Child("image"), "name the image that holds /app/agent"))
	}
	if c.DrainQuiet.Duration <= 0 {
		errs = append(errs, field.Invalid(p.Child("drainQuiet"), c.DrainQuiet.Duration.String(), "must be above 0, for example 3s"))
	}
	if d := c.DrainTimeout.Duration; d < c.DrainQuiet.Duration || d > maxDrainTimeout {
		errs = append(errs, field.Invalid(p.Child("drainTimeout"), d.String(), fmt.Sprintf("must be from drainQuiet, %s, to %s, for example 10m", c.DrainQuiet.Duration, maxDrainTimeout)))
	}
	if c.DrainReserve.Duration < time.Second {
		errs = append(errs, field.Invalid(p.Child("drainReserve"), c.DrainReserve.Duration.String(), "must be at least 1s"))
	}
	return append(errs, validateResources(p.Child("resources"), c.Resources)...)
}

func (c CredentialsConfig) validate(p *field.Path) (errs field.ErrorList) {
	for name, value := range map[string]string{
		"storageSpecSecretName":    c.StorageSpecSecretName,
		"gcsCredentialFileName":    c.GCSCredentialFileName,
		"s3.s3AccessKeyIDName":     c.S3.AccessKeyIDName,
		"s3.s3SecretAccessKeyName": c.S3.SecretAccessKeyName,
	} {
		for _, m := range validation.IsConfigMapKey(value) {
			errs = append(errs, field.Invalid(p.Child(name), value, m))
		}
	}
	return errs
}

func (c RolloutConfig) validate(p *field.Path) (errs field.ErrorList) {
	for name, v := range map[string]intstr.IntOrString{"maxSurge": c.MaxSurge, "maxUnavailable": c.MaxUnavailable} {
		if n, err := intstr.GetScaledValueFromIntOrPercent(&v, 100, true); err != nil || n < 0 {
			errs = append(errs, field.Invalid(p.Child(name), v.String(), "give a number of pods or a percentage, for example 25%"))
		}
	}
	return errs
}

func validateResources(p *field.Path, r corev1.ResourceRequirements) (errs field.ErrorList) {
	for name, request := range r.Requests {
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(p.Child("requests").Key(string(name)), request.String(),
				fmt.Sprintf("must not be above the limit %s", limit.String())))
		}
	}
	return errs
}
