package deployer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// setEnv sets a variable that the container does not have yet.
func setEnv(c *corev1.Container, name, value string) {
	if envOf(c, name) == nil {
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

// envOf returns the variable of that name, or nil.
func envOf(c *corev1.Container, name string) *corev1.EnvVar {
	for i := range c.Env {
		if c.Env[i].Name == name {
			return &c.Env[i]
		}
	}
	return nil
}

// containerDefaults sets what every container of the pod gets.
func (w *workload) containerDefaults() error {
	spec := &w.template.Spec
	for i := range spec.Containers {
		c := &spec.Containers[i]
		setEnv(c, "INFERENCE_SERVICE_NAME", w.isvc.Name)
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if err := normalize(&list[i], w.field(list[i].Name, "ports")); err != nil {
				return err
			}
		}
	}
	for _, c := range w.models() {
		if c.ReadinessProbe == nil {
			c.ReadinessProbe = defaultProbe(c)
		}
	}
	if spec.AutomountServiceAccountToken == nil {
		if auto := w.in.Config.AutoMountServiceAccountToken; auto != nil && !*auto {
			spec.AutomountServiceAccountToken = auto
		}
	}
	return nil
}

// normalize writes out defaults that are part of a list's merge key and removes
// duplicates, so that server-side apply takes the lists.
func normalize(c *corev1.Container, portsField string) error {
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
	}
	c.Env = mergeEnv(nil, c.Env)
	type key struct {
		port     int32
		protocol corev1.Protocol
	}
	seen := map[key]bool{}
	for i := range c.Ports {
		p := &c.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.ContainerPort < 1 || p.ContainerPort > 65535 {
			return invalid(portsField, "containerPort %d is no port; use 1 to 65535", p.ContainerPort)
		}
		if seen[key{p.ContainerPort, p.Protocol}] {
			return invalid(portsField, "port %d is listed twice; remove one entry", p.ContainerPort)
		}
		seen[key{p.ContainerPort, p.Protocol}] = true
	}
	return nil
}

// defaultProbe is KServe's: a TCP connect to the first port.
func defaultProbe(c *corev1.Container) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{
			TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(firstPort(c))},
		},
		TimeoutSeconds:   1,
		PeriodSeconds:    10,
		SuccessThreshold: 1,
		FailureThreshold: 3,
	}
}

func firstPort(c *corev1.Container) int32 {
	if len(c.Ports) > 0 {
		return c.Ports[0].ContainerPort
	}
	return DefaultServerPort
}

// gpuTagged are the stock runtimes whose image has a tag with this suffix for GPUs.
var gpuTagged = []string{"kserve-tensorflow-serving", "kserve-torchserve", "kserve-huggingfaceserver"}

const gpuTagSuffix = "-gpu"

// imageTag is the tag of an image reference. A colon of a registry's port is
// followed by a slash somewhere.
var imageTag = regexp.MustCompile(`:[\w][\w.-]*$`)

// chooseImage puts the wanted version and the variant for the hardware into the
// server's image. A digest is left alone: it means exactly what it says.
func (w *workload) chooseImage() error {
	if w.model == nil {
		return nil
	}
	c := w.server()
	if strings.Contains(c.Image, "@") {
		return nil
	}
	gpu, err := w.usesGPU(c)
	if err != nil {
		return err
	}
	repository, tag := c.Image, ""
	if i := imageTag.FindStringIndex(c.Image); i != nil {
		repository, tag = c.Image[:i[0]], c.Image[i[0]+1:]
	}
	runtime := w.in.Runtime.Ref.Name
	switch version := w.model.RuntimeVersion; {
	case version != nil && *version != "":
		tag = *version
	case gpu && tag != "" && slices.Contains(gpuTagged, runtime) && !strings.HasSuffix(tag, gpuTagSuffix):
		tag += gpuTagSuffix
	}
	// vLLM publishes its CPU build in a repository of its own.
	if runtime == "kserve-vllmserver" && !gpu && w.model.Image == "" && !strings.HasSuffix(repository, "-cpu") {
		repository += "-cpu"
	}
	c.Image = repository
	if tag != "" {
		c.Image += ":" + tag
	}
	return nil
}

// knownGPUs are resource names of GPUs; MIG devices have names of their own.
var knownGPUs = []string{"nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi"}

const migPrefix = "nvidia.com/mig"

// usesGPU says whether a container requests a GPU.
func (w *workload) usesGPU(c *corev1.Container) (bool, error) {
	names := slices.Concat(knownGPUs, w.in.Config.GPUResourceTypes)
	if more := w.allAnnotations[v1beta1.AnnotationGPUResourceTypes]; more != "" {
		list, err := convertJSON[[]string](more)
		if err != nil {
			return false, invalid(annotationField(v1beta1.AnnotationGPUResourceTypes), "%q is no JSON list of resource names: %v", more, err)
		}
		names = append(names, list...)
	}
	for _, list := range []corev1.ResourceList{c.Resources.Limits, c.Resources.Requests} {
		for name, quantity := range list {
			if !quantity.IsZero() && (slices.Contains(names, string(name)) || strings.HasPrefix(string(name), migPrefix)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// selectAccelerator asks for the GKE nodes with the wanted GPU.
func (w *workload) selectAccelerator() error {
	accelerator := w.allAnnotations[v1beta1.AnnotationGKEAccelerator]
	if accelerator == "" {
		return nil
	}
	for _, c := range w.template.Spec.Containers {
		if limit, ok := c.Resources.Limits["nvidia.com/gpu"]; ok && !limit.IsZero() {
			if w.template.Spec.NodeSelector == nil {
				w.template.Spec.NodeSelector = map[string]string{}
			}
			w.template.Spec.NodeSelector["cloud.google.com/gke-accelerator"] = accelerator
			return nil
		}
	}
	w.warn(annotationField(v1beta1.AnnotationGKEAccelerator), "it has no effect, because no container has a limit of nvidia.com/gpu; set one")
	return nil
}

func annotationField(name string) string { return fmt.Sprintf("metadata.annotations[%s]", name) }
